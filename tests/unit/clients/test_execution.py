"""An execution from its events and its result, and what a notebook shows of it."""

from __future__ import annotations

import base64

from bascule.events import Display, Gap, Stderr, Stdout
from bascule.execution import Execution, ExecutionBuilder
from bascule.results import HEADER, Result

DONE = {
    "output": "42", "stdout": "", "stderr": "", "error": None, "data": {"text/plain": "42", "text/html": "<b>42</b>"},
    "seq": 7, "state": "committed", "durable": "fsync", "unsaved": {"f": "an open file"}, "etag": "e7",
    "receipt": {"wall_s": 0.5, "cpu_s": 0.4, "peak_memory_bytes": 1000, "output_bytes": 3, "truncated": 0, "new": 1},
}  # fmt: skip
FAILED = {
    "name": "ZeroDivisionError", "message": "division by zero",
    "traceback": [{"file": "<eval 1>", "line": 2, "name": "f", "source": "return 1 / 0"}],
}  # fmt: skip
PNG = base64.b64encode(b"\x89PNG").decode()


def built(*events, **said) -> Execution:
    """An execution of these events and of a result with these differences."""
    builder = ExecutionBuilder(Execution("id-1"))
    for event in events:
        builder.add(event)
    return builder.finish({**DONE, **said})


def test_a_result_becomes_an_execution():
    """Each field where its reader looks for it; a field of the future is left out."""
    done = built(Stdout("a"), Stderr("b"), Display(Result({"image/png": PNG})))
    assert (done.id, done.text, done.seq, done.execution_count) == ("id-1", "42", 7, 7)
    assert (done.state, done.durable, done.etag, done.unsaved) == ("committed", "fsync", "e7", {"f": "an open file"})
    assert (done.logs.stdout, done.logs.stderr) == (["a"], ["b"])
    assert [result.is_main_result for result in done.results] == [False, True]
    assert (done.receipt.wall_s, done.receipt.peak_memory_bytes) == (0.5, 1000)
    assert done.error is None


def test_captured_text_stands_where_streamed_text_does():
    """Who reads `logs` need not know how it came."""
    done = built(stdout="out\n", stderr="err\n")
    assert (done.logs.stdout, done.logs.stderr) == (["out\n"], ["err\n"])


def test_an_exception_is_told_as_text_and_as_frames():
    """The text is as Python prints it, also when stderr does not have it."""
    error = built(output=None, data=None, error=FAILED).error
    assert (error.name, error.value, error.message) == ("ZeroDivisionError", "division by zero", "division by zero")
    assert (error.frames[0].line, error.frames[0].function, error.code) == (2, "f", None)
    assert error.traceback == (
        'Traceback (most recent call last):\n  File "<eval 1>", line 2, in f\n    return 1 / 0\n'
        "ZeroDivisionError: division by zero\n"
    )


def test_carets_come_from_stderr_whatever_stands_before_them():
    """As Python printed it."""
    printed = HEADER + '\n  File "<eval 1>", line 2, in f\n    return 1 / 0\n           ~~^~~\n'
    assert built(Stderr("noise\n"), Stderr(printed), error=FAILED).error.traceback == printed


def test_a_syntax_error_keeps_its_caret():
    """It has no frames, so what stderr says stands for them."""
    text = '  File "<eval 1>", line 1\n    1 +\n       ^\nSyntaxError: invalid syntax\n'
    said = {"name": "SyntaxError", "message": "invalid syntax", "traceback": []}
    assert built(stderr=f"noise\n{text}", error=said).error.traceback == text
    assert built(error=said).error.traceback == "SyntaxError: invalid syntax\n"


def test_an_update_replaces_what_has_its_name():
    """In its place; others stay."""
    first, second = Result({"text/plain": "1"}, display_id="d"), Result({"text/plain": "2"}, display_id="d")
    other = Result({"text/plain": "other"})
    done = built(Display(first), Display(other), Display(second, update=True))
    assert [result.text for result in done.results] == ["2", "other", "42"]


def test_a_gap_is_part_of_the_outcome():
    """Who does not stream learns of it as well."""
    assert built(Gap("1.2", "1.5")).gaps == [Gap("1.2", "1.5")]


def test_a_notebook_shows_the_value_richly():
    """All forms at once, and each of them to front ends that ask for one."""
    data, _ = built()._repr_mimebundle_()
    assert data == DONE["data"]
    picture = Result({"image/png": PNG})
    assert picture._repr_png_() == b"\x89PNG" and picture._repr_html_() is None
    assert picture.raw("image/png") == b"\x89PNG"
    assert (picture.formats(), picture["image/png"], str(picture)) == (["image/png"], PNG, "<image/png>")


def test_without_a_value_a_notebook_shows_the_text():
    """What was printed, or the traceback."""
    assert built(Stdout("hi"), output=None, data=None)._repr_mimebundle_()[0] == {"text/plain": "hi"}
    assert "ZeroDivisionError" in built(output=None, data=None, error=FAILED)._repr_mimebundle_()[0]["text/plain"]
