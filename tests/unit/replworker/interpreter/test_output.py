"""Output: at descriptor level, in order, complete, and held together only above a rate."""

from __future__ import annotations

import time

import pytest

from replwire.frames import EVENT_OVERHEAD_BYTES, EventKind, Kind
from support.worker_client import Outcome, WorkerClient, event_of


def streamed(link: WorkerClient, code: str) -> tuple[list[tuple[int, bytes]], Outcome]:
    """`(kind, body)` of each event of an eval, and its outcome; credit is given back at once."""
    ref = link.request("eval", {"code": code}, stream=True)
    events = []
    while (frame := link.next_frame(Kind.EVENT, Kind.OUTCOME, wait_s=30)).kind == Kind.EVENT:
        _, _, kind, _, body = event_of(frame)
        events.append((kind, body))
        link.credit(len(body) + EVENT_OVERHEAD_BYTES)
    outcome = Outcome(frame)
    assert outcome.ref == ref
    link.confirm(outcome)
    return events, outcome


def text_of(events: list[tuple[int, bytes]], *kinds: int) -> bytes:
    """The bodies of these kinds, one after the other."""
    return b"".join(body for kind, body in events if kind in (kinds or (EventKind.STDOUT, EventKind.STDERR)))


def test_stdout_and_stderr_are_apart(link):
    """Each has its own text."""
    outcome = link.eval("import sys\nprint('a')\nprint('b', file=sys.stderr)")
    assert (outcome.stdout, outcome.stderr, outcome.written) == (b"a\n", b"b\n", 4)


def test_their_order_is_exact(link):
    """At every rate: two thousand changes of stream come in the order of the writes."""
    events, _ = streamed(
        link, "import sys\nfor i in range(1000):\n  print(i, file=sys.stdout)\n  print(-i, file=sys.stderr)"
    )
    assert text_of(events) == b"".join(b"%d\n%d\n" % (i, -i) for i in range(1000))


def test_child_processes_and_c_code_are_heard(link):
    """Whatever writes to the descriptors."""
    code = "import os, subprocess\nos.write(1, b'fd ')\nsubprocess.run(['echo', 'child'])\nos.system('echo shell >&2')"
    outcome = link.eval(code)
    assert (outcome.stdout, outcome.stderr) == (b"fd child\n", b"shell\n")


def test_what_c_code_holds_in_its_own_buffer_comes_with_its_eval(link):
    """`printf` into a pipe is buffered by the C library."""
    outcome = link.eval("import ctypes\nprint('first', flush=True)\nctypes.CDLL(None).printf(b'from C %d\\n', 7)")
    assert outcome.stdout == b"first\nfrom C 7\n"


def test_a_megabyte_of_a_child_process_is_complete(link):
    """More than the pipe holds."""
    events, outcome = streamed(link, "import subprocess\nsubprocess.run('yes | head -c 1000000', shell=True)")
    assert text_of(events) == b"y\n" * 500_000
    assert (outcome.written, outcome.cut) == (1_000_000, 0)


@pytest.mark.parametrize("code", ["print('x' * 3_000_000)", "for i in range(30_000): print('x' * 99)"])
def test_large_output_is_complete(link, code):
    """By one print and by many."""
    events, outcome = streamed(link, code)
    assert text_of(events).replace(b"\n", b"") == b"x" * text_of(events).count(b"x")
    assert outcome.written == len(text_of(events)) >= 2_970_000


def test_many_small_writes_are_held_together(link):
    """A hundred thousand prints are few events; the last one does not wait for another."""
    events, _ = streamed(link, "for i in range(20_000): print(i)")
    assert len(events) < 2000
    assert text_of(events) == b"".join(b"%d\n" % i for i in range(20_000))


def test_what_is_held_goes_out_though_nobody_writes_any_more(link):
    """Ten milliseconds, not the end of the eval."""
    ref = link.request("eval", {"code": "for i in range(500): print(i)\nimport time\ntime.sleep(3)"}, stream=True)
    seen, deadline = b"", time.monotonic() + 2
    while not seen.endswith(b"499\n"):
        seen += event_of(link.next_frame(Kind.EVENT, wait_s=deadline - time.monotonic()))[4]
    link.interrupt()
    link.confirm(link.outcome(ref))


def test_a_forked_child_says_nothing_twice(link):
    """What is held when a tenant forks belongs to the parent."""
    code = """
import os, sys
for i in range(200): print(i)
pid = os.fork()
if not pid:
    print('child'); sys.stdout.flush(); os._exit(0)
os.waitpid(pid, 0)
print('parent')
"""
    events, _ = streamed(link, code)
    assert text_of(events) == b"".join(b"%d\n" % i for i in range(200)) + b"child\nparent\n"


def test_threads_may_print(link):
    """Every line is whole and none is lost."""
    code = """
import threading
def work(n):
    for i in range(200): sys.stdout.write(f'{n}:{i}\\n')
import sys
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]; None
"""
    events, _ = streamed(link, code)
    assert sorted(text_of(events).split()) == sorted(b"%d:%d" % (n, i) for n in range(4) for i in range(200))


def test_a_signal_handler_may_write(link):
    """At any moment, in the middle of another write too: nothing comes twice and nothing is lost."""
    code = """
import signal, sys
ticks = 0
def tick(number, frame):
    global ticks
    ticks += 1
    sys.stdout.write('tick\\n')
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for i in range(20_000): sys.stdout.write(f'{i}\\n')
signal.setitimer(signal.ITIMER_REAL, 0)
ticks
"""
    events, outcome = streamed(link, code)
    lines = text_of(events).splitlines()
    assert lines.count(b"tick") == int(outcome.told["output"]) > 0
    assert [line for line in lines if line != b"tick"] == [b"%d" % i for i in range(20_000)]


def test_bytes_and_odd_texts(link):
    """`buffer`, lone surrogates, `writelines`, a wrong type; closing changes nothing."""
    outcome = link.eval(
        "import sys\nsys.stdout.buffer.write(b'\\xff')\nsys.stdout.write('\\ud800')\n"
        "sys.stdout.writelines(['a', 'b'])\n"
        "sys.stdout.close()\nprint('c')\nsys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding"
    )
    assert outcome.stdout == b"\xff\\ud800abc\n"
    assert outcome.told["output"] == "(False, 1, 'utf-8')"
    assert link.eval("sys.stdout.write(3)").told["error"]["name"] == "TypeError"


def test_stdout_is_one_object_for_ever(link):
    """Libraries keep it."""
    link.eval("import sys; kept = sys.stdout")
    outcome = link.eval("kept is sys.stdout, print('heard', file=kept)")
    assert (outcome.told["output"], outcome.stdout) == ("(True, None)", b"heard\n")


def test_redirection_works(link):
    """`contextlib.redirect_stdout`, and back."""
    code = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as f: print('in')\nprint('out')"
    outcome = link.eval(code + "\nf.getvalue()")
    assert (outcome.told["output"], outcome.stdout) == ("'in\\n'", b"out\n")


def test_print_waits_for_a_reader(worker):
    """Without credit nothing is dropped and nothing grows: the tenant's program stands still, and goes on later."""
    link = worker.claimed(limits={"link_window_bytes": 100_000})
    ref = link.request("eval", {"code": "n = 0\nwhile n < 4000: print('x' * 99); n += 1"}, stream=True)
    assert not link.has_frame(Kind.OUTCOME)
    time.sleep(0.3)
    assert not link.has_frame(Kind.OUTCOME)
    waiting = sum(len(frame.parts[2]) for frame in link.frames if frame.kind == Kind.EVENT)
    assert 100_000 <= waiting <= 250_000
    link.credit(100_000)
    total = 0
    while (frame := link.next_frame(Kind.EVENT, Kind.OUTCOME)).kind == Kind.EVENT:
        total += len(frame.parts[2])
        link.credit(len(frame.parts[2]) + EVENT_OVERHEAD_BYTES)
    assert frame.ref == ref and total == 400_000
