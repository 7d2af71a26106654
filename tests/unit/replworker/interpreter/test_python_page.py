"""Each point of docs/reference/python.md, by the words that it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from replwire.frames import END_OF_INPUT, Kind
from replworker.agent.text import LATE_END, LATE_HEAD

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "python.md"

CASES = (Path(__file__).parent / "python_page.txt").read_text().split("\n## ")[1:]
OUTPUTS = {title: tuple(rest.strip().split("\n??\n")) for title, rest in (case.split("\n", 1) for case in CASES)}

ELSEWHERE = (
    "An interrupt cancels", "A thread goes", "A process that", "A signal handler", "`input()`, `getpass()`",
    "An answer of",
)  # fmt: skip
THREAD = """
import threading
go, said = threading.Event(), threading.Event()
def f():
    go.wait(); print('late'); said.set()
threading.Thread(target=f).start()
"""


def points() -> list[str]:
    """Of the page, each on one line."""
    return [" ".join(point.split("\n\n")[0].split()) for point in PAGE.read_text().split("\n- ")[1:]]


def test_every_point_has_its_test():
    """And every test its point."""
    names = [*OUTPUTS, *ELSEWHERE]
    found = {point: [name for name in names if point.startswith(name)] for point in points()}
    assert {point: begins for point, begins in found.items() if len(begins) != 1} == {}
    assert len(found) == len(names)


@pytest.mark.parametrize("point", OUTPUTS)
def test_a_point(link, point):
    """What the last eval gives."""
    text, output = OUTPUTS[point]
    *evals, last = text.split("\n--\n")
    for code in evals:
        link.eval(code)
    outcome = link.eval(last)
    assert (outcome.told["output"], outcome.stderr) == (output, b"")


def test_an_interrupt_cancels(link):
    """What is awaited; a task beside it goes on."""
    link.eval("import asyncio\nt = asyncio.create_task(asyncio.sleep(0.2, 'done')); await asyncio.sleep(0)")
    ref = link.request("eval", {"code": "display(1); await asyncio.sleep(60)"})
    link.next_frame(Kind.EVENT)
    link.interrupt()
    outcome = link.outcome(ref)
    link.confirm(outcome)
    assert outcome.told["error"]["code"] == "interrupted"
    assert link.eval("await t").told["output"] == "'done'"


def test_a_thread_goes_on(link):
    """It prints where it is."""
    link.eval(THREAD)
    assert link.eval("go.set(); said.wait(); print('own')").stdout == b"late\nown\n"


def test_a_process_that_was_left(link):
    """It prints apart."""
    link.eval("import subprocess\np = subprocess.Popen('read line; echo late', shell=True, stdin=subprocess.PIPE)")
    outcome = link.eval("p.stdin.write(b'\\n'); p.stdin.close(); p.wait(); print('own')")
    assert outcome.stdout == LATE_HEAD + b"late\n" + LATE_END + b"own\n"


def test_a_signal_handler_may_raise(link):
    """In an eval, and between two."""
    link.eval("import signal, time\ndef tick(*_): raise TimeoutError\nsignal.signal(signal.SIGALRM, tick); None")
    assert link.eval("signal.alarm(1)\ntime.sleep(9)").told["error"]["name"] == "TimeoutError"
    ref = link.request("eval", {"code": "signal.setitimer(signal.ITIMER_REAL, 0.05); n = 1"}, stream=True)
    link.confirm(link.outcome(ref))
    assert b"ignored" in link.next_frame(Kind.EVENT).parts[2]
    assert link.eval("n").told["output"] == "1"


def test_input_asks_the_client(link):
    """By leave, and to the end of the input."""
    ref = link.request("eval", {"code": "import sys\ninput(), sys.stdin.read()"}, id_="asking", stdin=True)
    for answer in ("one", "two", END_OF_INPUT):
        link.next_frame(Kind.EVENT)
        link.input("asking", answer)
    outcome = link.outcome(ref)
    link.confirm(outcome)
    assert outcome.told["output"] == "('one', 'two\\n')"
    assert link.eval("sys.stdin.read()").told["output"] == "''"
