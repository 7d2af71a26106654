"""`os.fork()` in tenant code: the copy ends with its eval, the session goes on in the original."""

from __future__ import annotations

import pytest

FORK = "import os, sys, time\npid = os.fork()\n"


def test_a_copy_runs_to_the_end_of_its_eval(link):
    """Its output is heard, it answers nothing, and its parent sees how it ended."""
    outcome = link.eval(FORK + "if pid: status = os.waitpid(pid, 0)[1]\nelse: print('copy')")
    assert (outcome.stdout, outcome.told["error"]) == (b"copy\n", None)
    assert link.eval("pid > 0, status").told["output"] == "(True, 0)"


def test_a_copy_that_ends_later_answers_nobody(link):
    """The original's names are the session's, before and after."""
    link.eval(FORK + "if not pid:\n    time.sleep(0.3)\n    print('late')")
    assert link.eval("pid > 0, os.waitpid(pid, 0)[1]").told["output"] == "(True, 0)"
    outcomes = [link.eval("n = 1"), link.eval("pid > 0, n")]
    assert outcomes[-1].told["output"] == "(True, 1)"
    assert [outcome.seq for outcome in outcomes] == [3, 4]


@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        ("1 / 0", 1, b"ZeroDivisionError"),
        ("sys.exit()", 0, b""),
        ("sys.exit(7)", 7, b""),
        ("sys.exit('reason')", 1, b""),
        ("os._exit(9)", 9, b""),
    ],
)
def test_how_a_copy_ends(link, ends, status, said):
    """With the status of a script, and its traceback in the eval's text."""
    code = f"if pid: status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\nelse: {ends}"
    outcome = link.eval(FORK + code)
    assert said in outcome.stderr and bool(said) == bool(outcome.stderr)
    assert link.eval("status").told["output"] == str(status)


@pytest.mark.parametrize("asks", ["display(1)", "clear_output()", "input()"])
def test_a_copy_neither_displays_nor_asks(link, asks):
    """It says so, and the session's own frames stay whole."""
    ref = link.request("eval", {"code": f"{FORK}if pid: os.waitpid(pid, 0)\nelse: {asks}"}, stdin=True)
    outcome = link.outcome(ref)
    link.confirm(outcome)
    assert "only the session's own process can" in outcome.stderr.decode()
    assert link.eval("pid > 0").told["output"] == "True"


def test_pools_of_processes_work(link):
    """`multiprocessing` forks and leaves through a door of its own."""
    code = (
        "import multiprocessing\ndef square(n): return n * n\nwith multiprocessing.get_context('fork').Pool(2) as pool:"
    )
    assert link.eval(code + "\n    squares = pool.map(square, range(4))\nsquares").told["output"] == "[0, 1, 4, 9]"
