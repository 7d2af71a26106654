"""An interrupt ends what runs and nothing else."""

from __future__ import annotations

import os
import signal
import time

import pytest

from replwire.frames import Kind
from support.worker_client import WorkerClient, event_of
from support.worker_process import WorkerProcess


def interrupted(link: WorkerClient, code: str, *, after_s: float = 0.2) -> dict:
    """The outcome of an eval that is interrupted once it runs; it has to end within two seconds."""
    ref = link.request("eval", {"code": "print('on', flush=True)\n" + code}, stream=True)
    link.next_frame(Kind.EVENT)
    time.sleep(after_s)
    link.interrupt()
    outcome = link.outcome(ref, wait_s=2)
    link.confirm(outcome)
    return outcome.told


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import threading; threading.Lock().acquire() and threading.Event().wait()",
        "import os; r, w = os.pipe(); os.read(r, 1)",
        "import subprocess; subprocess.run(['sleep', '60'])",
        "import asyncio; await asyncio.sleep(60)",
        "import asyncio\nasync def busy():\n    while True: pass\nawait busy()",
        "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
    ],
)
def test_what_obeys_ends_at_once(link, code):
    """With the cause, and the session goes on."""
    error = interrupted(link, code)["error"]
    assert (error["name"], error["code"]) == ("KeyboardInterrupt", "interrupted")
    assert link.eval("1 + 1").told["output"] == "2"


def test_a_handler_of_the_tenants_does_not_stay(link):
    """Each eval begins with ours."""
    link.eval("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert interrupted(link, "while True: pass")["error"]["code"] == "interrupted"


def test_an_interrupted_await_tells_where_it_was(link):
    """The tenant's frames, not the event loop's; what has to be cleaned up is, and swallowing it is no interruption."""
    code = "import asyncio\nasync def f():\n    try: await asyncio.sleep(60)\n    finally: cleaned.append(1)\n"
    told = interrupted(link, f"cleaned = []\n{code}await f()")
    assert [(frame["name"], frame["file"]) for frame in told["error"]["traceback"][:2]] == [
        ("<module>", "<eval 1>"), ("f", "<eval 1>"),
    ]  # fmt: skip
    assert link.eval("cleaned").told["output"] == "[1]"
    code = "async def g():\n    try: await asyncio.sleep(60)\n    except asyncio.CancelledError: return 'caught'\n"
    assert interrupted(link, code + "await g()")["output"] == "'caught'"


def test_an_exception_whose_text_has_no_end_is_interrupted(link):
    """It costs the text, not the worker."""
    told = interrupted(
        link, "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E", after_s=0.5
    )
    assert (told["error"]["name"], told["error"]["message"]) == ("E", "")
    assert link.eval("1 + 1").told["output"] == "2"


def test_what_was_printed_before_is_kept(link):
    """And what hangs in a full pipe does not keep the eval from ending."""
    told = interrupted(link, "while True: print('x' * 1000)")
    assert told["error"]["code"] == "interrupted"


def test_a_tenant_may_catch_it(link):
    """Then it is no interruption."""
    told = interrupted(link, "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: pass\n'caught'")
    assert (told["output"], told["error"]) == ("'caught'", None)


def test_no_interrupt_hits_the_next_eval(worker: WorkerProcess, link: WorkerClient):
    """Signals between evals, and at random moments around short ones, leave the session in step."""
    for number in range(300):
        if number % 3 == 0:
            os.kill(worker.interpreter, signal.SIGINT)
        assert link.eval(f"{number} + 0").told["output"] in (str(number), None)
    for _ in range(50):
        os.kill(worker.interpreter, signal.SIGINT)
    assert link.eval("'in step'").told["output"] == "'in step'"


def test_interrupts_that_race_short_evals(link):
    """Each answer belongs to its request, whatever the race."""
    for number in range(200):
        ref = link.request("eval", {"code": f"{number}"})
        link.send(Kind.INTERRUPT, b"", b"interrupt")
        outcome = link.outcome(ref)
        link.confirm(outcome)
        error = outcome.told["error"]
        assert outcome.told["output"] == str(number) if error is None else error["code"] == "interrupted"


def test_the_queue_goes_on_after_an_interrupt(link):
    """Only what runs is hit."""
    running = link.request("eval", {"code": "print('on', flush=True)\nwhile True: pass"}, stream=True)
    waiting = link.request("eval", {"code": "'next'"})
    link.next_frame(Kind.EVENT)
    link.interrupt()
    assert link.outcome(running).told["error"]["code"] == "interrupted"
    assert link.outcome(waiting).told["output"] == "'next'"


def test_an_alarm_that_was_forgotten_costs_nothing(link):
    """A handler of the tenant's that raises between two evals is told of, and the session goes on."""
    code = "import signal\nn = 41\ndef late(number, frame): raise TimeoutError('too late')\n"
    code += "signal.signal(signal.SIGALRM, late)\nsignal.setitimer(signal.ITIMER_REAL, 0.5)"
    link.confirm(link.outcome(link.request("eval", {"code": code}, stream=True)))
    said = b""
    while not said.endswith(b"TimeoutError: too late\n"):
        said += event_of(link.next_frame(Kind.EVENT))[4]
    assert said.startswith(b"Exception ignored in a signal handler between evals:\nTraceback")
    assert link.eval("n + 1").told["output"] == "42"
