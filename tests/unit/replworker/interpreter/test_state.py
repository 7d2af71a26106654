"""Checkpoints as the frames carry them: in place, from a forked child, restored in another worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from replwire.frames import Kind
from support.worker_client import Outcome, WorkerClient
from support.worker_process import WorkerProcess

MakeWorker = Callable[[], WorkerProcess]


def chunks_of(link: WorkerClient) -> dict[bytes, bytes]:
    """Every chunk that has come on this link."""
    return {frame.parts[0]: frame.parts[1] for frame in link.frames if frame.kind == Kind.CHUNK}


def moved(link: WorkerClient, outcome: Outcome, make_worker: MakeWorker) -> WorkerClient:
    """A link to a new worker that has restored what the outcome left."""
    chunks = chunks_of(link)
    wanted = [outcome.references[start : start + 32] for start in range(0, len(outcome.references), 32)]
    new = make_worker().dial()
    said = new.claim(
        generation=2, seq=outcome.seq, manifest=outcome.manifest, chunks=[(item, chunks[item]) for item in wanted]
    )
    assert said["seq"] == outcome.seq, said
    return new


def children_of(worker: WorkerProcess) -> list[int]:
    """Process ids of the interpreter's children."""
    interpreter = worker.interpreter
    return [int(pid) for pid in Path(f"/proc/{interpreter}/task/{interpreter}/children").read_text().split()]


def eventually(holds: Callable[[], object]) -> None:
    """Within five seconds."""
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_small_state_moves_in_the_manifest(link, make_worker):
    """Functions bound to the live namespace, the source of evals, `_`, futures."""
    link.eval("from __future__ import annotations\nk = 2\ndef f(n):\n    return n * k\nx = [1]; y = x\nimport decimal")
    outcome = link.eval("g = (i for i in x)\n41")
    assert outcome.told["unsaved"] == {"g": "a running generator"}
    assert outcome.references == b""

    new = moved(link, outcome, make_worker)
    assert new.eval("_ + 1, x is y, 'g' in globals()").told["output"] == "(42, True, False)"
    assert new.eval("k = 3\nf(2)").told["output"] == "6"
    assert "def f" in new.eval("import inspect\nprint(inspect.getsource(f))").stdout.decode()
    assert new.eval("def h(a: nothing): pass\nh.__annotations__").told["output"] == "{'a': 'nothing'}"


def test_streams_and_builtins_of_ours_move_by_name(link, make_worker):
    """`out = sys.stdout` is this worker's stdout there."""
    outcome = link.eval("import sys\nout = sys.stdout; show = display; ask = input\nfrom getpass import getpass")
    assert outcome.told["unsaved"] == {}
    new = moved(link, outcome, make_worker)
    assert (
        new.eval("import sys\nout is sys.stdout, show is display, ask is input").told["output"] == "(True, True, True)"
    )
    assert new.eval("print('heard', file=out)").stdout == b"heard\n"


def test_a_child_reads_the_folder_before_the_next_eval_changes_it(link, make_worker):
    """Its memory is its own, the folder is not: a checkpoint has no file of a later eval, however long it takes."""
    link.eval(
        "import time, random\nclass Slow:\n  def __reduce__(self):\n    time.sleep(0.3)\n    return Slow, ()\n"
        "def write(text):\n  open('small', 'w').write(text)\n  open('large', 'w').write(text * 100_000)"
    )
    one = link.request("eval", {"code": "write('one'); slow = Slow(); big = random.randbytes(3_000_000)"})
    two = link.request("eval", {"code": "write('two')"})
    first, second = link.outcome(one), link.outcome(two)
    look = "open('small').read(), open('large').read() == open('small').read() * 100_000"
    for outcome, word in ((first, "one"), (second, "two")):
        assert moved(link, outcome, make_worker).eval(look).told["output"] == f"('{word}', True)"


def test_a_folder_that_was_empty_is_empty_in_the_checkpoint(link, make_worker):
    """The next eval does not wait for a look at it, and what it writes belongs to its own checkpoint."""
    link.eval(
        "import os, random, time\nclass Slow:\n  def __reduce__(self):\n    time.sleep(0.3)\n    return Slow, ()\n"
        "slow = Slow(); big = random.randbytes(3_000_000)"
    )
    codes = ("n = 1", "open('new', 'w').write('w')", "os.remove('new')", "n = 4")
    refs = [link.request("eval", {"code": code}) for code in codes]
    found = []
    for outcome in [link.outcome(ref) for ref in refs]:
        link.confirm(outcome)
        found.append(moved(link, outcome, make_worker).eval("import os; os.listdir()").told["output"])
    assert found == ["[]", "['new']", "[]", "[]"]


def test_large_state_comes_from_a_child(link, make_worker):
    """Chunks, then the outcome; a small change sends few of them again."""
    link.eval("import random\nrandom.seed(1)\nbig = random.randbytes(5_000_000)\nn = 0")
    before = set(chunks_of(link))
    outcome = link.eval("n = 7")
    assert len(before) >= 19
    assert sum(len(data) for item, data in chunks_of(link).items() if item not in before) < 50_000
    new = moved(link, outcome, make_worker)
    assert (
        new.eval("n, len(big), hash(big) == hash(random.Random(1).randbytes(5_000_000))").told["output"]
        == "(7, 5000000, True)"
    )


def test_evals_run_while_the_child_works(link):
    """Outcomes come in order, each with a checkpoint of its own."""
    link.eval("import random\nbig = random.randbytes(8_000_000)\nn = 0")
    refs = [link.request("eval", {"code": f"n = {number}; n"}) for number in range(8)]
    outcomes = [link.outcome(ref) for ref in refs]
    for outcome in outcomes:
        link.confirm(outcome)
    assert [outcome.told["output"] for outcome in outcomes] == [str(number) for number in range(8)]
    assert len({outcome.manifest for outcome in outcomes}) == 8


WAITS = """
class Waits:
    def __reduce__(self):
        while not os.path.exists('go'): time.sleep(0.001)
        return (Waits, ())
waits, new, running = Waits(), 1, (i for i in [])
"""


def test_variables_wait_for_the_child_or_say_so(worker):
    """What an eval made is not called kept by the checkpoint before it."""
    link = worker.claimed(limits={"auxiliary_timeout_ms": 20_000})

    def kept() -> list[object]:
        told = link.ask("variables", {})["variables"]
        return [item["kept"] for item in told if item["name"] in ("new", "running")]

    link.eval("import os, random, time\nbig = random.randbytes(3_000_000)")
    ref = link.request("eval", {"code": WAITS})
    assert kept() == [None, None]
    (worker.work_folder / "go").touch()
    while (told := kept()) == [None, None]:
        continue
    assert told == [True, False]
    link.confirm(link.outcome(ref))


def test_a_child_that_is_killed_costs_nothing(worker, link, make_worker):
    """The checkpoint is then taken in place."""
    link.eval("import random, time\nbig = random.randbytes(3_000_000)")
    link.eval("class Slow:\n  def __reduce__(self):\n    time.sleep(0.5)\n    return (Slow, ())\ns = Slow()")
    eventually(lambda: not children_of(worker))
    ref = link.request("eval", {"code": "n = 5"})
    eventually(lambda: children_of(worker))
    os.kill(children_of(worker)[0], signal.SIGKILL)
    outcome = link.outcome(ref)
    link.confirm(outcome)
    assert moved(link, outcome, make_worker).eval("n, len(big)").told["output"] == "(5, 3000000)"


def test_without_a_child_it_is_taken_in_place(link, make_worker):
    """A machine that gives no further process costs nothing but time."""
    link.eval("import os, random\ntried = []\ndef fork():\n  tried.append(1)\n  raise BlockingIOError(11, 'none left')")
    link.eval("os.fork = fork\nrandom.seed(1)\nbig = random.randbytes(3_000_000)")
    outcome = link.eval("n = len(tried)\nn")
    assert outcome.told["output"] == "1" and outcome.told["unsaved"] == {}
    assert moved(link, outcome, make_worker).eval("n, len(big), len(tried)").told["output"] == "(1, 3000000, 2)"


def test_an_object_that_loops_costs_its_name(worker):
    """An interrupt that comes a second after the eval's end is for the checkpoint."""
    link = worker.claimed()
    ref = link.request("eval", {"code": "class L:\n  def __reduce__(self):\n    while True: pass\nloop, n = L(), 1"})
    for _ in range(40):
        time.sleep(0.2)
        link.interrupt()
        if link.has_frame(Kind.OUTCOME):
            break
    outcome = link.outcome(ref)
    link.confirm(outcome)
    assert list(outcome.told["unsaved"]) == ["loop"]
    assert outcome.told["error"] is None


def test_files_of_the_folder_move(link, make_worker):
    """Small and large ones, and the links between them."""
    outcome = link.eval(
        "import os, random\nrandom.seed(2)\nopen('small', 'w').write('s')\n"
        "open('large', 'wb').write(random.randbytes(700_000))\n"
        "os.mkdir('d'); os.symlink('../small', 'd/link'); None"
    )
    new = moved(link, outcome, make_worker)
    told = new.eval("import os\nopen('d/link').read(), os.path.getsize('large')").told
    assert told["output"] == "('s', 700000)"


def test_what_is_no_checkpoint_is_told(make_worker):
    """The worker says so and ends."""
    said = make_worker().dial().claim(manifest=b"nonsense", seq=3)
    assert said["code"] == "restore_failed"


def test_durability_none_makes_no_checkpoint(worker):
    """A scratch pad."""
    outcome = worker.claimed(durability="none").eval("x = 1")
    assert (outcome.manifest, outcome.references) == (b"", b"")


def test_a_tenant_without_descriptors_loses_nothing(link, make_worker):
    """Traceback, checkpoint and files are made with descriptors that he does not get."""
    link.eval("import os\nopen('kept.txt', 'w').write('kept')\nimport resource")
    link.eval("resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))")
    outcome = link.eval("taken = []\nopen('late.txt', 'w').close()\nwhile True: taken.append(os.dup(0))")
    assert outcome.told["error"]["name"] == "OSError" and "Too many open files" in outcome.stderr.decode()
    assert outcome.told["unsaved"] == {}
    assert link.eval("len(taken) > 100").told["output"] == "True"
    assert (
        moved(link, outcome, make_worker).eval("sorted(os.listdir('.'))").told["output"] == "['kept.txt', 'late.txt']"
    )


LOOPS = """
import sys
from replworker.interpreter import state
from replworker.interpreter.children import Children
from replworker.interpreter.gate import Gate
from replworker.interpreter.sources import Sources
from replworker.snapshot import SnapshotLimits, Snapshotter
from contextvars import copy_context
import _signal, os, types

armed = []
folder = sys.argv[1]
before = types.ModuleType("__main__")
sys.modules["__main__"] = before
taker = Snapshotter(before.__dict__, work_folder=folder, limits=SnapshotLimits())

def loop():
    # Here the timer of the restore fires, however slow the machine is, and nowhere else.
    armed.append(_signal.getitimer(_signal.ITIMER_REAL)[0] > 1)
    try:
        _signal.setitimer(_signal.ITIMER_REAL, 0.001)
        while True: pass
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, *state_timer)

state_timer = state.RESTORE_INTERRUPT_AFTER_S, state.RESTORE_INTERRUPT_AGAIN_S = 60.0, 30.0
sys.loop = lambda: None
open(os.path.join(folder, "endless.py"), "w").write("import sys\\nsys.loop()\\n")
sys.path.append(folder)
exec('''
import sys, endless
class Loop:
    def __setstate__(self, state): sys.loop()
loop = Loop(); loop.n = 1; late = [loop]; kept = [5]
''', before.__dict__)
taken = taker.take({})
sys.loop = loop
del sys.modules["endless"]
after = types.ModuleType("__main__")
sys.modules["__main__"] = after
keeper = state.StateKeeper(
    after.__dict__, channel=None, state_channel=None, work_folder=folder, injected={}, gate=Gate(), sources=Sources(),
    context=copy_context(), children=Children(), shadow_channel=None,
)
told = keeper.restore(taken.manifest, dict(taken.chunks))
print(sorted(told["unsaved"]), after.__dict__["kept"], after.__dict__["Loop"].__name__, all(armed), len(armed) > 2)
print(_signal.getitimer(_signal.ITIMER_REAL), _signal.getsignal(_signal.SIGALRM) == _signal.SIG_DFL)
"""


def test_what_loops_while_it_is_read_costs_its_name(tmp_path):
    """An object and a module that never end are interrupted by a timer, which is gone afterwards."""
    said = subprocess.run([sys.executable, "-c", LOOPS, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert said.stdout.splitlines() == [
        "['endless', 'late', 'loop'] [5] Loop True True", "(0.0, 0.0) True",
    ], said.stderr  # fmt: skip


def test_a_state_has_a_limit(worker, make_worker):
    """`state_bytes_max` of the claim: the largest names are left out, and told."""
    link = worker.claimed(limits={"state_bytes_max": 1_000_000})
    outcome = link.eval("import random\nbig = random.randbytes(3_000_000)\nn = 1")
    assert list(outcome.told["unsaved"]) == ["big"]
    assert moved(link, outcome, make_worker).eval("n, 'big' in globals()").told["output"] == "(1, False)"
