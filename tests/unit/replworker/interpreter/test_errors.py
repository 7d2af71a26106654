"""What went wrong, as the client reads it: the tenant's frames only, whatever his objects do."""

from __future__ import annotations

import pytest

from support.worker_process import error_of


def test_frames_and_text_are_the_tenants(link):
    """File, line, name and source of each frame; none of the worker's own."""
    error = link.eval("def f(n):\n    return 1 / n\n\nf(0)").told["error"]
    assert error["traceback"] == [
        {"file": "<eval 1>", "line": 4, "name": "<module>", "source": "f(0)"},
        {"file": "<eval 1>", "line": 2, "name": "f", "source": "return 1 / n"},
    ]


def test_the_text_says_what_python_says(link):
    """With source lines, of functions from earlier evals as well."""
    link.eval("def f(n):\n    return 1 / n")
    text = link.eval("f(0)").stderr.decode()
    assert text.startswith("Traceback (most recent call last):\n")
    assert 'File "<eval 1>", line 2, in f\n    return 1 / n' in text
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert "replworker" not in text


@pytest.mark.parametrize(
    ("code", "caret"),
    [
        ("1 +", "1 +\n       ^"),
        ("x = (1,\n", "x = (1,\n"),
        ("  1", "IndentationError"),
        ("é = = 1", "^"),
        ("if 1:\n  return 7", "    return 7\n    ^^^^^^^^"),
        ("def f():\n  break", "    break\n    ^^^^^"),
    ],
)
def test_a_syntax_error_has_its_caret(link, code, caret):
    """And the session goes on."""
    outcome = link.eval(code)
    assert outcome.told["error"]["name"] in ("SyntaxError", "IndentationError")
    assert caret in outcome.stderr.decode()
    assert link.eval("1").told["output"] == "1"


def test_frames_of_awaited_code_are_the_tenants(link):
    """The event loop that ran it is not shown."""
    error = link.eval("import asyncio\nasync def f(): 1 / 0\nawait f()").told["error"]
    assert [(frame["name"], frame["file"]) for frame in error["traceback"]] == [
        ("<module>", "<eval 1>"), ("f", "<eval 1>"),
    ]  # fmt: skip


def test_causes_and_groups_are_told_without_our_frames(link):
    """Chained, grouped, and through a function of ours."""
    text = link.eval(
        "try:\n    input()\nexcept EOFError as e:\n    raise ExceptionGroup('g', [e, ValueError(1)]) from e"
    )
    assert "replworker" not in text.stderr.decode()
    assert "ExceptionGroup: g (2 sub-exceptions)" in text.stderr.decode()
    assert error_of(text) == ("ExceptionGroup", "g (2 sub-exceptions)")


def test_names_of_exceptions_of_modules_are_whole(link):
    """As tracebacks show them."""
    assert error_of(link.eval("import json; json.loads('{')"))[0] == "json.decoder.JSONDecodeError"
    assert error_of(link.eval("class Mine(Exception): pass\nraise Mine('a')")) == ("Mine", "a")


@pytest.mark.parametrize(
    "code",
    [
        "class E(Exception):\n  def __str__(self): raise ValueError\nraise E",
        "class E(Exception):\n  def __str__(self): import sys; sys.exit()\nraise E",
        "class E(BaseException):\n  __module__ = 3\nraise E",
        "class V:\n  def __repr__(self): raise ZeroDivisionError\nV()",
        "class V:\n  def __repr__(self): return 3\nV()",
        "class M(type):\n  def __getattribute__(c, n): 1 / 0\nclass E(Exception, metaclass=M): pass\nraise E",
        "class E(Exception):\n  @property\n  def __traceback__(self): 1/0\nraise E",
        "class E(Exception):\n  def __getattribute__(self, name): raise SystemExit\nraise E",
        "e = SyntaxError('m'); e.lineno = 'x'; e.filename = 3\nraise e",
        "raise type('X' * 5_000_000, (Exception,), {})",
        "f = lambda n: f(n + 1)  #" + "x" * 100_000 + "\nf(0)",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "compile('\\0', 'a', 'exec')",
        "\0",
        "(" * 300,
        "def f(): f()\nf()",
        "e = ValueError(1)\ne.__cause__ = e\nraise e",
        "raise ValueError('\\ud800')",
    ],
)
def test_whatever_is_raised_the_session_goes_on(link, code):
    """Each is a result with an error, and the next eval runs."""
    outcome = link.eval(code)
    assert outcome.told["error"]["name"]
    assert "code" not in outcome.told["error"]
    assert link.eval("1 + 1").told["output"] == "2"


def test_a_long_traceback_is_bounded(link):
    """A recursion has a thousand frames; the first and the last are told."""
    outcome = link.eval("def f(n): return f(n + 1)\nf(0)")
    assert len(outcome.told["error"]["traceback"]) <= 100
    assert "Previous line repeated" in outcome.stderr.decode()


def test_what_cannot_be_shown_costs_no_frames(link):
    """A chain of causes without end: the exception's own traceback is there, and says that there is more."""
    code = "e = ValueError('first')\nfor i in range(5000):\n    n = ValueError(i); n.__cause__ = e; e = n\nraise e"
    outcome = link.eval(code)
    assert [frame["source"] for frame in outcome.told["error"]["traceback"]] == ["raise e"]
    assert "ValueError: 4999\n(the rest of it can't be shown: RecursionError)\n" in outcome.stderr.decode()


def test_the_last_error_can_be_looked_at(link):
    """`sys.last_value`, which debuggers read."""
    link.eval("1 / 0")
    assert link.eval("import sys; type(sys.last_value).__name__").told["output"] == "'ZeroDivisionError'"
