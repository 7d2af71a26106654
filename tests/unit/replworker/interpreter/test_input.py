"""`input()`, `getpass()` and `sys.stdin`, asked of the client."""

from __future__ import annotations

import json

import pytest

from replwire.frames import END_OF_INPUT, Kind
from support.worker_client import Outcome, WorkerClient, event_of
from support.worker_process import error_of


def answered(link: WorkerClient, code: str, *answers: str, id_: str = "asking") -> tuple[list[dict], Outcome]:
    """What the eval asked, and its outcome."""
    ref = link.request("eval", {"code": code}, id_=id_, stdin=True)
    asked = []
    for answer in answers:
        asked.append(json.loads(event_of(link.next_frame(Kind.EVENT))[4]))
        assert link.input(id_, answer) == {"status": "delivered"}
    outcome = link.outcome(ref)
    link.confirm(outcome)
    return asked, outcome


def test_input_is_asked(link):
    """The prompt goes to the client, the line comes back without its end."""
    asked, outcome = answered(link, "input('who? ') + input()", "ada", "ä")
    assert asked == [{"prompt": "who? ", "password": False}, {"prompt": "", "password": False}]
    assert outcome.told["output"] == "'adaä'"


@pytest.mark.parametrize(
    "code", ["import getpass\ngetpass.getpass('pin: ')", "from getpass import getpass\ngetpass('pin: ')"]
)
def test_a_password_is_asked_as_one(link, code):
    """The client must not show it."""
    asked, outcome = answered(link, code, "1234")
    assert (asked, outcome.told["output"]) == ([{"prompt": "pin: ", "password": True}], "'1234'")


def test_stdin_is_read_line_by_line(link):
    """`readline`, part of a line, the rest of it."""
    _, outcome = answered(
        link, "import sys\nsys.stdin.readline(), sys.stdin.read(2), sys.stdin.readline()", "one", "two"
    )
    assert outcome.told["output"] == "('one\\n', 'tw', 'o\\n')"


def test_stdin_as_bytes_and_nothing_asked_for_nothing(link):
    """`buffer`, also wrapped; `read(0)` asks nobody; an answer of two lines is two lines."""
    code = (
        "import io, sys\nsys.stdin.read(0), sys.stdin.buffer.readline(), sys.stdin.buffer.read(1), "
        "sys.stdin.buffer.readline(), sys.stdin.readline(), sys.stdin.readline(), "
        "io.TextIOWrapper(sys.stdin.buffer).readline()"
    )
    _, outcome = answered(link, code, "ä", "ab", "one\ntwo", "three")
    assert outcome.told["output"] == repr(("", "ä\n".encode(), b"a", b"b\n", "one\n", "two\n", "three\n"))


@pytest.mark.parametrize("stream", ["sys.stdin.read()", "sys.stdin.buffer.read().decode()", "''.join(sys.stdin)"])
def test_the_client_ends_the_input(link, stream):
    """By Ctrl-D, as on a terminal: an empty line is a line. What reads afterwards asks again."""
    asked, outcome = answered(link, f"import sys\n{stream}, input()", "one", "", END_OF_INPUT, "two")
    assert len(asked) == 4
    assert outcome.told["output"] == "('one\\n\\n', 'two')"


@pytest.mark.parametrize("asks", ["input()", "getpass.getpass()"])
def test_input_that_is_ended_raises(link, asks):
    """As Python's own does."""
    _, outcome = answered(link, f"import getpass\n{asks}", END_OF_INPUT)
    assert error_of(outcome) == ("EOFError", "the client ended the input")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("input()", "EOFError"),
        ("import getpass; getpass.getpass()", "EOFError"),
        ("next(iter(__import__('sys').stdin))", "StopIteration"),
    ],
)
def test_without_leave_nobody_is_asked(link, code, error):
    """The error says which option allows it; `sys.stdin` is at its end."""
    outcome = link.eval(code)
    assert error_of(outcome)[0] == error
    if error == "EOFError":
        assert "allow_stdin" in error_of(outcome)[1]


def test_an_eval_that_waits_for_input_can_be_interrupted(link):
    """And a late answer goes to nobody."""
    ref = link.request("eval", {"code": "input('a')"}, id_="asking", stdin=True)
    link.next_frame(Kind.EVENT)
    link.interrupt()
    outcome = link.outcome(ref, wait_s=2)
    link.confirm(outcome)
    assert outcome.told["error"]["code"] == "interrupted"
    assert link.input("asking", "late") == {"status": "mismatch"}
    assert answered(link, "input('b')", "now", id_="again")[1].told["output"] == "'now'"


def test_a_debugger_asks_through_it(link):
    """`breakpoint()` is a conversation."""
    ref = link.request("eval", {"code": "x = 41\nbreakpoint()\nx"}, id_="asking", stdin=True)
    for command in ("x = x + 1", "c"):
        link.next_frame(Kind.EVENT)
        link.input("asking", command)
    assert link.outcome(ref).told["output"] == "42"
