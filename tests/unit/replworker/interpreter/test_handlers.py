"""Signal handlers of the tenant's: what they raise ends his code, and nothing of ours."""

from __future__ import annotations

import os
import signal

import pytest

from support.worker_process import error_of

RAISES = """
import signal, time
n = ticks = 0
class Tick(Exception): pass
def tick(number, frame):
    global ticks
    ticks += 1
    raise Tick(ticks)
def every(seconds): signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
before = signal.signal(signal.SIGALRM, tick)
"""


def test_a_handler_that_raises_all_the_time(worker, link):
    """Thousands a second, in evals that print, display and are checkpointed: the session goes on, in step."""
    link.eval(RAISES)
    interpreter = worker.interpreter
    link.eval("every(0.0003)")
    for number in range(150):
        outcome = link.eval(f"print('x' * 9000); display({number}); n += 1; {number}")
        assert outcome.told["error"] is None or error_of(outcome)[0] == "Tick"
        assert outcome.told["output"] in (None, str(number))
    for _ in range(100):
        if link.eval("every(0)").told["error"] is None:
            break
    assert link.eval("ticks > 100, n >= 0").told["output"] == "(True, True)"
    assert worker.interpreter == interpreter


def test_what_it_raises_in_the_tenants_code_ends_that(link):
    """With his frames only."""
    link.eval(RAISES)
    outcome = link.eval("signal.setitimer(signal.ITIMER_REAL, 0.1)\nwhile True: print('x' * 100)")
    assert error_of(outcome) == ("Tick", "1")
    assert outcome.told["error"]["traceback"][-1]["name"] == "tick"
    assert "replworker" not in outcome.stderr.decode()


def test_a_handler_is_what_it_was(link):
    """`getsignal` and `signal` give the tenant's own function; names of the module are the module's."""
    link.eval(RAISES)
    assert (
        link.eval("before == signal.SIG_DFL, signal.getsignal(signal.SIGALRM) is tick").told["output"] == "(True, True)"
    )
    assert link.eval("signal.signal(signal.SIGALRM, signal.SIG_IGN) is tick").told["output"] == "True"
    assert link.eval("signal.getsignal(signal.SIGALRM) == signal.SIG_IGN").told["output"] == "True"
    outcome = link.eval("from signal import signal as set_handler, getsignal")
    assert outcome.told["unsaved"] == {}


@pytest.mark.parametrize("handler", ["3.5", "'x'", "None"])
def test_what_is_no_handler_is_refused(link, handler):
    """As always."""
    assert error_of(link.eval(f"import signal\nsignal.signal(signal.SIGALRM, {handler})"))[0] == "TypeError"


def test_an_interrupt_between_evals_is_meant_for_nobody(worker, link):
    """Also when the tenant has put Python's own handler back."""
    link.eval("import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)")
    os.kill(worker.interpreter, signal.SIGINT)
    outcome = link.eval("1 + 1")
    assert (outcome.told["output"], outcome.stderr) == ("2", b"")
