"""The shadow becomes the interpreter when that dies: what is still there, what is told, and when it must not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replwire.frames import EventKind, Kind
from support.shadow_code import KILL_SHADOW
from support.worker_client import WorkerClient
from support.worker_process import WorkerProcess
from unit.replworker.interpreter.test_shadow import MakeWorker, Store

START = (
    "import numpy as np, os, sys, time, ctypes, random, signal, threading, subprocess, asyncio, io\n"
    "a = np.random.default_rng(1).random(700_000); n = 0\n"
    "g = (i for i in range(1_000_000)); next(g)\n"
)
DIE = "os.kill(os.getpid(), 9)"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """One that sees no process but its own."""
    folder = tmp_path / "alone"
    folder.mkdir()
    made = WorkerProcess(folder, is_alone=True)
    yield made
    made.end()


@pytest.fixture
def link(worker: WorkerProcess) -> WorkerClient:
    """A link whose session may be taken over."""
    return worker.claimed(takeover=True)


@pytest.fixture
def store(link: WorkerClient, make_worker: MakeWorker) -> Store:
    """What a front door would have kept."""
    return Store(link, make_worker)


def killed(link: WorkerClient, code: str = DIE) -> dict[str, Any]:
    """What is said of an eval that kills the interpreter."""
    link.request("eval", {"code": code})
    said = link.json_of(link.next_frame(Kind.REFUSED, Kind.DIED))
    assert "code" in said, said
    return said


def says(link: WorkerClient, code: str) -> str:
    """Text of a value."""
    told = link.eval(code).told
    assert told["error"] is None, told["error"]
    return str(told["output"])


def taken_over(link: WorkerClient, code: str = DIE) -> dict[str, Any]:
    """The word of a takeover after an eval that kills the interpreter."""
    said = killed(link, code)
    assert said.get("began"), said
    return link.json_of(link.next_frame(Kind.TAKEN_OVER))


def ended(link: WorkerClient, code: str = DIE) -> str:
    """Why no shadow took over; empty when there was none to ask."""
    said = killed(link, code)
    assert "signal" in said, said
    return str(said.get("refused", ""))


DEATHS = {
    "killed by signal 9": DIE,
    "exited with status 3": "os._exit(3)",
    "killed by signal 11": "ctypes.string_at(0)",
}


@pytest.mark.parametrize("how", DEATHS)
def test_it_goes_on_where_the_last_outcome_was(link, how):
    """Arrays and a running generator are there, what the dying eval did is not, and its number is given again."""
    assert set(link.eval(START).told["unsaved"]) == {"g"}
    said = killed(link, f"n = 77; a[0] = 5; next(g); {DEATHS[how]}")
    assert (said["code"], said["message"], said["seq"]) == ("worker_crashed", how, 1)
    outcome = link.eval("n, next(g), float(a[0]) < 1")
    assert (outcome.told["output"], outcome.seq) == ("(0, 1, True)", 2)


def test_again_and_again(link):
    """Each large checkpoint leaves a shadow again, and each of them takes over."""
    link.eval(START)
    for number in range(1, 8):
        taken_over(link)
        assert says(link, "n += 1\nn, next(g)") == f"({number}, {number})"


def test_what_waited_is_run(link):
    """In order, in the process that took over."""
    link.eval(START)
    link.request("eval", {"code": "time.sleep(0.1); " + DIE}, id_="dies")
    refs = [link.request("eval", {"code": code}) for code in ("n += 1; n", "n += 1; n")]
    assert link.json_of(link.next_frame(Kind.REFUSED))["code"] == "worker_crashed"
    outcomes = [link.outcome(ref) for ref in refs]
    assert [(outcome.seq, outcome.told["output"]) for outcome in outcomes] == [(2, "1"), (3, "2")]


def test_what_was_told_live_is_told_to_be_undone(link):
    """By an event of the same generation, behind the output; the number goes on, and the id may be sent again."""
    link.eval(START)
    link.request("eval", {"code": "print('half'); " + DIE}, stream=True, id_="once")
    link.next_frame(Kind.TAKEN_OVER)
    events = list(link.events())
    numbers = [event[0] for event in events]
    assert numbers == list(range(1, len(events) + 1))
    assert b"".join(event[4] for event in events[:-1]) == b"half\n"
    assert (events[-1][2], json.loads(events[-1][4])) == (
        EventKind.ROLLED_BACK, {"to": 1, "cause": "worker_crashed"},
    )  # fmt: skip
    again = link.outcome(link.request("eval", {"code": "print('whole')"}, stream=True, id_="once"))
    assert (again.seq, again.first_event) == (2, len(events))


def test_what_a_fork_does_not_have_is_told(link):
    """Files, sockets and threads are named, with their reasons; a generator is not."""
    link.eval(
        START + "f = open('/dev/null'); both = [f, g]\nt = threading.Thread(target=time.sleep, args=(60,))\nt.start()"
    )
    said = taken_over(link)
    assert said["unsaved"] == {"f": "an open file '/dev/null'", "both": "reaches an open file '/dev/null'",
                               "t": "a thread"}  # fmt: skip
    assert (said["seq"], said["signal"]) == (1, 9)
    assert says(link, "t.is_alive(), threading.active_count()") == "(False, 1)"


def test_the_tenants_files_do_not_become_ours(link):
    """Their numbers stay taken: what closes them closes nothing of ours, and what reads them gets an error."""
    link.eval(START + "fs = [open('/dev/zero', 'rb') for _ in range(40)]; r, w = os.pipe()")
    taken_over(link)
    told = link.eval("fs[0].read(1)").told
    assert "Bad file descriptor" in told["error"]["message"]
    assert (
        says(link, "for f in fs: f.close()\nfs = None; os.close(r); os.close(w)\nlen(os.listdir('/proc/self/fd')) < 40")
        == "True"
    )
    outcome = link.eval("print('out'); print('err', file=sys.stderr); n = 3")
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")
    assert says(link, "os.popen('echo child').read(), n") == "('child\\n', 3)"


def test_it_is_an_interpreter_like_the_one_before(link):
    """Input, interrupts, child processes, `await`, signals, random numbers, the folder, its own process."""
    link.eval(START + "random.seed(3); kept = random.getstate()[1]; score = open('/proc/self/oom_score_adj').read()\n"
              "signal.signal(signal.SIGALRM, lambda *_: heard.append(1)); heard = []; first = os.getpid()\n"
              "async def later(): await asyncio.sleep(0.01); return 5\nawait later()")  # fmt: skip
    taken_over(link)
    assert says(link, "random.getstate()[1] == kept, os.getpid() != first, os.getpgrp() == os.getpid()") == (
        "(True, True, True)"
    )
    assert says(link, "open('/proc/self/oom_score_adj').read() == score") == "True"
    assert says(link, "await later()") == "5"
    assert says(link, "signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.1); heard") == "[1]"
    assert says(link, "signal.pthread_sigmask(signal.SIG_BLOCK, [])") == "set()"
    assert says(link, "subprocess.run(['echo', 'hi'], capture_output=True).stdout") == "b'hi\\n'"
    list(link.events())
    ref = link.request("eval", {"code": "print('on')\nwhile True: pass"}, id_="long", stream=True)
    link.next_frame(Kind.EVENT)
    assert link.interrupt("long")["status"] == "interrupted"
    assert link.outcome(ref).told["error"]["name"] == "KeyboardInterrupt"
    list(link.events())
    ref = link.request("eval", {"code": "input('? ')"}, id_="asks", stdin=True)
    link.next_frame(Kind.EVENT)
    assert link.input("asks", "yes") == {"status": "delivered"}
    assert link.outcome(ref).told["output"] == "'yes'"


def test_its_checkpoints_hold_everything(store):
    """The first one hashes all of it, those after it what changed; a new worker restores the same."""
    store.eval(START)
    taken_over(store.link)
    store.link.frames.clear()
    assert store.eval("a[5] = 2.5") < 320_000
    assert store.eval("n = 1") < 50_000
    store.eval("a[500_000] = 3.5")
    (there,) = [store.says("float(a.sum()), n")]
    assert store.restored("float(a.sum()), n") == [there]


def test_a_state_that_came_ahead_of_its_outcome_is_not_the_next_ones(store):
    """The eval was undone, and so is the checkpoint that its process forked before it died."""
    store.eval(START)
    store.eval("n = 1")
    code = (
        "n = 2\ndef die(*_): os.kill(os.getpid(), 9)\n"
        "os.register_at_fork(after_in_parent=lambda: os.getpid() == first and die())\nfirst = os.getpid()"
    )
    said = killed(store.link, code)
    if "began" in said:
        assert store.says("n") == "1"
        assert store.restored("n") == ["1"]


# --- when it must not ---------------------------------------------------------------------------------------------

CHANGES = {
    "a new file": "open('new', 'w').close()",
    "a file that is gone": "os.remove('kept')",
    "other contents": "open('kept', 'w').write('other')",
    "contents of the same length and time": (
        "s = os.stat('kept'); open('kept', 'r+').write('KEPT'); os.utime('kept', ns=(s.st_atime_ns, s.st_mtime_ns))"
    ),
    "contents written to as memory": "m = np.memmap('kept', mode='r+'); m[0] = 65; m.flush()",
    "a large file": "open('large', 'r+b').write(b'x')",
    "rights": "os.chmod('kept', 0o600)",
    "a folder": "os.mkdir('folder')",
    "a file of another name": "os.rename('kept', 'moved')",
}


@pytest.mark.parametrize("title", CHANGES)
def test_a_folder_that_changed_is_restored_from_the_store(link, title):
    """All or nothing: what the dying eval did to files has to be undone too."""
    link.eval("import os\nopen('kept', 'w').write('kept'); os.chmod('kept', 0o644)\n"
              "open('large', 'wb').write(bytes(200_000))\n" + START)  # fmt: skip
    link.eval("time.sleep(0.06)")
    link.eval("n = 1")
    assert ended(link, f"{CHANGES[title]}\n{DIE}") == "the working folder has changed"


def test_a_folder_that_was_empty_and_is_not(link):
    """The checkpoint's process did not even look at it."""
    link.eval(START)
    link.eval("n = 1")
    assert ended(link, f"{CHANGES['a new file']}\n{DIE}") == "the working folder has changed"


def test_a_folder_that_did_not_change(link):
    """Files that are read, and bytecode, change nothing."""
    link.eval("import os\nopen('kept', 'w').write('kept'); open('m.py', 'w').write('x = 1')\n"
              "os.mkdir('d'); open('d/large', 'wb').write(bytes(200_000)); os.symlink('kept', 'link')\n"
              + START)  # fmt: skip
    link.eval("time.sleep(0.06)")
    link.eval("n = 1")
    taken_over(link, f"import m; open('kept').read(); open('d/large').read()\n{DIE}")
    there = "open('kept').read(), sorted({*os.listdir()} - {'__pycache__'})"
    assert says(link, there) == "('kept', ['d', 'kept', 'link', 'm.py'])"


def test_an_array_that_was_restored(store, tmp_path):
    """Its memory is not its own, and a shadow holds it all the same."""
    store.eval(START)
    there = store.says("float(a.sum()), a.size")
    folder = tmp_path / "second"
    folder.mkdir()
    second = WorkerProcess(folder, is_alone=True)
    try:
        link = second.dial()
        store.restore(link, takeover=True)
        link.eval("import os\nn = 5")
        taken_over(link, f"a[:] = 0; n = 6\n{DIE}")
        assert says(link, "float(a.sum()), a.size") == there
        assert says(link, "n") == "5"
    finally:
        second.end()


def test_shared_memory(link):
    """What two processes map, no fork has apart."""
    link.eval(START + "import mmap; shared = mmap.mmap(-1, 4096)")
    assert ended(link).startswith("shared memory")


def test_a_process_that_was_left_running(link):
    """It may write to anything, and it has what the dying eval did."""
    link.eval(START + "p = subprocess.Popen(['sleep', '60'], start_new_session=True) and None")
    link.eval("n = 1")
    assert ended(link) == ""


def test_a_process_of_the_dying_eval(link):
    """One that has left our group lives on, so there is no takeover; one that has not is killed, and there is."""
    link.eval(START)
    taken_over(link, f"subprocess.Popen(['sleep', '60'])\n{DIE}")
    link.eval("n = 1")
    assert ended(link, f"subprocess.Popen(['sleep', '60'], start_new_session=True)\n{DIE}") == (
        "a process that was left running"
    )


def test_trace_9_a_state_since_then(link):
    """Eval 2 was acknowledged with a checkpoint taken in place: the shadow of eval 1 would lose it."""
    link.eval(START + "small = 0")
    link.eval("a = None")
    link.eval("small = 1")
    assert ended(link) == ""


def test_a_session_that_acts_outside(worker):
    """The front door does not say that it may."""
    link = worker.claimed()
    link.eval(START)
    assert ended(link) == ""


def test_a_shadow_that_was_killed(link):
    """By the tenant, who sees it."""
    link.eval(START)
    assert ended(link, KILL_SHADOW + DIE) == ""


def test_no_shadow_is_left_when_the_worker_ends(worker, link):
    """In either way."""
    link.eval(START)
    taken_over(link)
    link.eval("n = 1; a = None")
    ended(link)
    assert worker.process.wait(10) != 0
