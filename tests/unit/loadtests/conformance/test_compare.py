"""The judgement of an example is doctest's own."""

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.conformance.compare import Example, Shown, examples_of, exception_of, is_equal, shown, without_detail

ELLIPSIS = doctest.ELLIPSIS
IGNORE_DETAIL = doctest.IGNORE_EXCEPTION_DETAIL


def example(want="", exc_msg=None, flags=0):
    """An example that wants this."""
    return Example("m.f", 0, "code\n", want, exc_msg, flags)


def payload(output=None, stdout="", stderr="", error=None) -> dict[str, Any]:
    """Of a `result`."""
    return {"output": output, "stdout": stdout, "stderr": stderr, "error": error}


def failed(name, message, stderr):
    """Of a `result` of code that raised."""
    return payload(stderr=stderr, error={"name": name, "message": message, "traceback": []})


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        (payload(), ""),
        (payload(output="2"), "2\n"),
        (payload(output="''"), "''\n"),
        (payload(stdout="a\n", output="2"), "a\n2\n"),
        (payload(stdout="a"), "a\n"),
        (payload(stdout="a\n"), "a\n"),
        (payload(stdout="a", output="2"), "a2\n"),
        (payload(stderr="a warning"), ""),
    ],
)
def test_a_result_is_shown_as_an_interactive_python_does(given_, text):
    """Output, then the value; stderr is not compared."""
    assert shown(given_) == Shown(text, None)


@given(st.text(alphabet="ab \n", max_size=12), st.sampled_from([None, "5", "'x'"]))
def test_what_python_shows_is_equal_to_itself(printed, value):
    """Whatever doctest's own runner accepts for this output is accepted here, and the other way round."""
    source = f"print({printed!r}, end='')" + (f"; {value}" if value else "")
    for want in (f"{printed}{value}\n" if value else printed, "other\n"):
        test = doctest.DocTest([doctest.Example(source, want)], {}, "t", None, None, None)
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(test, out=lambda _: None)
        wanted = doctest.Example(source, want).want
        assert is_equal(example(wanted), shown(payload(stdout=printed, output=value))) == (runner.failures == 0)


@pytest.mark.parametrize(
    ("stderr", "name", "message", "expected"),
    [
        ("Traceback …\n  File\nValueError: bad\n", "ValueError", "bad", "ValueError: bad\n"),
        ("Traceback …\nKeyboardInterrupt\n", "KeyboardInterrupt", "", "KeyboardInterrupt\n"),
        ("Traceback …\na.b.Own: x\n", "a.b.Own", "x", "a.b.Own: x\n"),
        ("E: x\n\nDuring …\n\nE: x\nmore\n", "E", "x\nmore", "E: x\nmore\n"),
        ("E: one\n\nDuring …\n\nE: two\nmore\n", "E", "two\nmore", "E: two\nmore\n"),
        # A message that quotes another traceback.
        ("Traceback …\nE: saw\nE: inner\n", "E", "saw\nE: inner", "E: saw\nE: inner\n"),
        ("Errors: no\nE: yes\n", "E", "yes", "E: yes\n"),
        ("nothing of it", "E", "x", "E: x\n"),
    ],
)
def test_the_end_of_the_traceback_is_the_message(stderr, name, message, expected):
    """From the line that begins with the exception's name, the last such that goes on with its message."""
    assert exception_of(failed(name, message, stderr)) == expected


def test_without_an_error_there_is_no_exception():
    """Whatever was written to stderr."""
    assert exception_of(payload(stderr="ValueError: a log line\n")) is None


RAISED = shown(failed("ValueError", "bad thing", "Traceback …\nValueError: bad thing\n"))


@pytest.mark.parametrize(
    ("wanted", "seen", "equal"),
    [
        (example("2\n"), Shown("2\n", None), True),
        (example("2\n"), Shown("3\n", None), False),
        (example(""), Shown("2\n", None), False),
        (example("2...\n", flags=ELLIPSIS), Shown("2 and more\n", None), True),
        (example("2...\n"), Shown("2 and more\n", None), False),
        (example("<BLANKLINE>\na\n"), Shown("\na\n", None), True),
        (example(exc_msg="ValueError: bad thing\n"), RAISED, True),
        (example(exc_msg="ValueError: other\n"), RAISED, False),
        (example(exc_msg="ValueError: other\n", flags=IGNORE_DETAIL), RAISED, True),
        (example(exc_msg="KeyError: other\n", flags=IGNORE_DETAIL), RAISED, False),
        (example(exc_msg="builtins.ValueError: x\n", flags=IGNORE_DETAIL), RAISED, True),
        (example("ValueError: bad thing\n"), RAISED, False),
        (example(exc_msg="ValueError: bad thing\n"), Shown("ValueError: bad thing\n", None), False),
    ],
)
def test_an_example_is_judged_by_doctests_rules(wanted, seen, equal):
    """An exception by its message alone; text that looks like one is no exception."""
    assert is_equal(wanted, seen) == equal


def test_an_exception_without_its_detail():
    """Neither module nor message."""
    assert without_detail("a.b.Error: x: y\nmore") == "Error"
    assert without_detail("Error\n") == "Error"


def test_examples_have_the_flags_of_their_file_and_their_own():
    """An example may also turn off what its file turns on."""
    described = {
        "doctest": "m.f",
        "examples": [
            {"source": "a\n", "want": "", "exc_msg": None, "options": {}},
            {"source": "b\n", "want": "", "exc_msg": None, "options": {"ELLIPSIS": False, "SKIP": True}},
        ],
    }
    first, second = examples_of(described, ["ELLIPSIS"])
    assert (first.name, first.flags, first.skipped) == ("m.f#0", ELLIPSIS, False)
    assert (second.name, second.flags, second.skipped) == ("m.f#1", doctest.SKIP, True)
