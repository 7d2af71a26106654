"""Large arrays between checkpoints: only what changed is sent, and nothing that changed is ever missed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replwire.frames import Kind
from support.shadow_code import KILL_SHADOW, PROCESSES
from support.worker_client import Outcome, WorkerClient
from support.worker_process import WorkerProcess

MakeWorker = Callable[[], WorkerProcess]

START = (
    "import numpy as np, os, gc, sys, time, threading, signal, hashlib\n"
    "rng = np.random.default_rng(1)\na = rng.random(2_000_000); n = 0\n"
)
DIGEST = "hashlib.sha256(a.tobytes()).hexdigest()"


@pytest.fixture
def link(tmp_path: Path) -> Iterator[WorkerClient]:
    """A worker that sees no process but its own."""
    folder = tmp_path / "alone"
    folder.mkdir()
    worker = WorkerProcess(folder, is_alone=True)
    yield worker.claimed()
    worker.end()


class Store:
    """What a front door would have kept."""

    def __init__(self, link: WorkerClient, make_worker: MakeWorker) -> None:
        self.link = link
        self._make_worker = make_worker
        self._chunks: dict[bytes, bytes] = {}
        self.outcome: Outcome | None = None

    def eval(self, code: str) -> int:
        """Bytes of chunks that it sent; it must not fail."""
        self.outcome = self.link.eval(code)
        assert self.outcome.told["error"] is None, self.outcome.told["error"]
        new = {frame.parts[0]: frame.parts[1] for frame in self.link.frames if frame.kind == Kind.CHUNK}
        self.link.frames.clear()
        self._chunks |= new
        return sum(map(len, new.values()))

    def says(self, code: str) -> str:
        """Text of a value."""
        self.eval(code)
        assert self.outcome is not None
        return str(self.outcome.told["output"])

    def restored(self, *checks: str) -> list[str]:
        """What a new worker that has the last state says to these."""
        new = self._make_worker().dial()
        self.restore(new)
        return [str(new.eval(check).told["output"]) for check in checks]

    def restore(self, new: WorkerClient, *, takeover: bool = False) -> None:
        """Claim that worker with the last state."""
        outcome = self.outcome
        assert outcome is not None
        wanted = [outcome.references[start : start + 32] for start in range(0, len(outcome.references), 32)]
        chunks = [(item, self._chunks[item]) for item in wanted]
        said = new.claim(generation=2, seq=outcome.seq, manifest=outcome.manifest, chunks=chunks, takeover=takeover)
        assert said["seq"] == outcome.seq, said


@pytest.fixture
def store(link: WorkerClient, make_worker: MakeWorker) -> Store:
    """Of that worker."""
    return Store(link, make_worker)


def test_bytes_go_with_the_pages_that_changed(store):
    """Nothing of the array for a change elsewhere; a block for an element; and a restore has it all."""
    assert store.eval(START) > 16_000_000
    assert store.eval("n = 1") < 50_000
    assert store.eval("a[1_000_000] = -1.0") < 320_000
    assert store.eval("a[::131072] = -2.0") < 16_100_000
    there = store.says(DIGEST)
    assert store.restored(DIGEST, "n") == [there, "1"]


def test_unchanged_blocks_are_not_hashed(store, tmp_path):
    """Counted by the process of each checkpoint: those after the second hash one block, if not everything."""
    marks = tmp_path / "marks"
    store.eval(START)
    store.eval(
        "from replworker.snapshot import blobs\ncounted = blobs.Cutter._block\n"
        f"marks = os.open({str(marks)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n"
        "def count(self, view):\n"
        "    if len(view) == 262144: os.write(marks, f'{os.getpid()} '.encode())\n"
        "    return counted(self, view)\n"
        "blobs.Cutter._block = count"
    )
    for number in range(20):
        store.eval(f"time.sleep(0.05)\na[0] = {number}")
    hashed = list(Counter(marks.read_text().split()).values())
    assert len(hashed) >= 20 and min(hashed[2:]) == 1


CHANGES = {
    "an element": "a[5] = {n}",
    "a slice by C code": "np.add(a[1000:200_000], {n}, out=a[1000:200_000])",
    "all of it": "a += {n}",
    "another array in its place": "a = np.full(2_000_000, {n}.5)",
    "zeros in the place of what was freed": "del a; a = np.zeros(2_000_000); total = a.sum()",
    "freed and made again, read only": "k = np.empty(2_000_000); del a, k; a = np.zeros(2_000_000); total = a.max()",
    "moved by growing": "b = a.copy(); del a; b.resize(2_000_000 + {n}); a = b; del b",
    "shrunk and grown in place": "a.resize(1_000_000); a.resize(2_000_000)",
    "its bytes set as a whole": "a.__setstate__((1, a.shape, a.dtype, False, rng.random(2_000_000).tobytes()))",
    "another type of its memory": "a = a.view('i8'); a[7] = {n}",
    "a view of it": "w = a[3:9]; w[2] = {n}",
    "swapped with another": "b = rng.random(2_000_000); a, b = b, a",
    "a process of the tenant's that holds the pages": "a[9] = {n}\nif os.fork() == 0: time.sleep(60); os._exit(0)",
    "one whose parent is gone": (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); a[10] = {n}\n"
        "if os.fork() == 0:\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)"
    ),
    "two of them, before and after": (
        "one = os.fork()\nif one == 0: time.sleep(60); os._exit(0)\na[11] = {n}\ntwo = os.fork()\n"
        "if two == 0: time.sleep(60); os._exit(0)"
    ),
}


@pytest.mark.parametrize("title", CHANGES)
def test_no_change_is_missed(store, title):
    """The same three times over, since what a checkpoint learns is used by the next; then what is there comes back."""
    store.eval(START)
    for number in (1, 2, 3):
        store.eval(CHANGES[title].format(n=number))
        there = store.says(DIGEST)
        assert store.restored("import hashlib\n" + DIGEST) == [there]


RESTORED = START + "def shown(array): return np.frombuffer(bytearray(array.tobytes()))\na = shown(a)"
"""As a restore leaves arrays: their memory is a `bytearray`, behind a view."""

CHANGES_OF_RESTORED = {
    "an element": "a[5] = {n}",
    "all of it": "a += {n}",
    "its bytes, by themselves": "a.base.obj[8:16] = bytes([{n}] * 8)",
    "another array in its place": "del a; a = shown(np.full(2_000_000, {n}.5))",
    "grown, shrunk and changed meanwhile": (
        "o = a.base.obj; a = None; o += bytes(8); del o[-8:]; o[3] = {n}; a = np.frombuffer(o); del o"
    ),
    "cut in front, so that all of it moves": (
        "o = a.base.obj; a = None; del o[:8]; o += bytes([{n}] * 8); a = np.frombuffer(o); del o"
    ),
    "another's memory in its place": (
        "o = bytearray(rng.random(1_000_000).tobytes()); a = None; o += bytes(8_000_000); a = np.frombuffer(o); del o"
    ),
    "swapped with another": "b = shown(rng.random(2_000_000)); a, b = b, a",
    "the view that holds the memory is gone": "a.base.release(); a = shown(np.full(2_000_000, {n}.25))",
    "a part of its bytes": "o = bytearray(16_000_800); a = np.frombuffer(memoryview(o)[800:]); a[6] = {n}; o[90] = 1",
}


@pytest.mark.parametrize("title", CHANGES_OF_RESTORED)
def test_no_change_of_a_restored_array_is_missed(store, title):
    """As above; and the pages of one tell as much as those of any other."""
    store.eval(RESTORED)
    assert store.eval("a[7] = 1.0") < 320_000
    assert store.eval("n = 1") < 50_000
    for number in (1, 2, 3):
        store.eval(CHANGES_OF_RESTORED[title].format(n=number))
        there = store.says(DIGEST)
        assert store.restored("import hashlib\n" + DIGEST) == [there]


HOOKS = {
    "a hook of the fork": "os.register_at_fork(before=lambda: a.__setitem__(slice(None, None, 40_000), a[0] + 1))",
    "two of them, one that forks": (
        "def fork():\n    if not inside:\n        inside.append(1)\n"
        "        if os.fork() == 0: os._exit(0)\n        inside.clear(); a[70_000] += 1\n"
        "inside = []\nos.register_at_fork(before=fork)"
    ),
    "a tracer": "def trace(*about): a[90_000] += 1\nsys.setprofile(trace)",
    "a finalizer": (
        "class Late:\n    def __init__(self): self.me = self\n    def __del__(self): a[50_000] += 1\n"
        "os.register_at_fork(before=lambda: [Late() for _ in range(2000)] and None)"
    ),
    "a signal's handler": (
        "signal.signal(signal.SIGALRM, lambda *_: a.__setitem__(60_000, a[60_000] + 1))\n"
        "_ = signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)"
    ),
    "a thread": (
        "def work():\n    while not stop:\n        a[80_000:90_000] += 1\nstop = []\n"
        "thread = threading.Thread(target=work, daemon=True); thread.start()"
    ),
}
QUIET = "sys.setprofile(None); signal.setitimer(signal.ITIMER_REAL, 0); 'stop' in globals() and stop.append(1)\nn = 0"


@pytest.mark.parametrize("title", HOOKS)
def test_what_writes_while_a_checkpoint_is_taken_is_not_missed(store, title):
    """Whatever runs between our look at the pages and the fork: what the next checkpoint says is what is there."""
    store.eval(START)
    store.eval("n = 1")
    store.eval(HOOKS[title])
    for number in range(3):
        store.eval(f"n = {number}")
    store.eval(QUIET + "\nif 'thread' in globals(): thread.join(); del thread")
    store.eval("n = 5")
    (before,) = store.restored("import hashlib\n" + DIGEST)
    at_the_next = store.says(DIGEST)
    (after,) = store.restored("import hashlib\n" + DIGEST)
    if "fork" in HOOKS[title]:
        assert store.says(DIGEST) == after != before == at_the_next
    else:
        assert before == after == at_the_next


FRAME = (
    "import pandas as pd, numpy as np, os\n"
    "df = pd.DataFrame({'i': np.arange(100_000), 's': [f'row {i}' for i in range(100_000)]})\n"
    "o = np.array([None, 1.5, 'x', 3] * 25_000, dtype=object)\np = np.random.default_rng(1).random(600_000)\nn = 0\n"
)
FRAME_DIGEST = "import hashlib\nhashlib.sha256(repr([*df['s'], *df['i'], *o]).encode()).hexdigest()"


def test_the_state_of_random_is_kept_with_large_state(store):
    """Although `random` seeds itself anew in every forked process."""
    store.eval(START + "import random; random.seed(7); numbers = [random.random() for _ in range(3)]")
    there = store.says("hash(random.getstate()[1])")
    assert store.restored("hash(random.getstate()[1])") == [there]


def test_columns_of_texts(store):
    """Not sent again for a change elsewhere; a changed text, one of another kind, an object inside: all come back."""
    assert store.eval(FRAME) > 6_000_000
    assert store.eval("n = 1") < 50_000
    for change in ("df.loc[70_000, 's'] = 'other'", "o[9] = 7", "o[9] = [1]", "o[9].append(2)", "o[9] = 'x'"):
        store.eval(change)
        there = store.says(FRAME_DIGEST)
        assert store.restored("import pandas as pd, numpy as np\n" + FRAME_DIGEST) == [there]
    assert store.says("o[9]") == "'x'"
    assert store.eval("n = 2") < 50_000


def test_small_state_has_no_shadow(store):
    """Nor has one without arrays, nor one that has become small again."""
    store.eval(PROCESSES)
    alone = int(store.says("processes()"))
    store.eval("big = list(range(600_000))")
    assert store.says(f"comes_to({alone})") == "True"
    store.eval(START + "del big")
    assert store.says(f"comes_to({alone + 1})") == "True"
    store.eval("del a")
    assert store.says(f"comes_to({alone})") == "True"


def test_a_shadow_holds_nothing_of_the_tenants(store):
    """No child of his to wait for, no end of his pipes."""
    store.eval(START + "reading, writing = os.pipe()")
    assert store.says("os.close(writing)\nos.read(reading, 1)") == "b''"
    # The process of a checkpoint that is under way is a child for a moment; the shadow never is.
    code = "try:\n    while True: os.wait()\nexcept ChildProcessError:\n    n = 'none'\nn"
    assert store.says(code) == "'none'"


def test_a_shadow_that_is_killed_costs_nothing(store):
    """Then everything counts as changed."""
    store.eval(START)
    store.eval(KILL_SHADOW + "a[3] = 1.0")
    there = store.says(DIGEST)
    assert store.restored("import hashlib\n" + DIGEST) == [there]


def group_of(leader: int) -> set[int]:
    """Processes of its group that live: a child of its children is among them."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == leader and state != "Z":
            found.add(int(folder.name))
    return found


def test_outside_a_namespace_of_its_own_it_is_all_hashed(make_worker):
    """Who sees other processes can't know who shares his pages: no shadow, and the same state."""
    worker = make_worker()
    store = Store(worker.claimed(), make_worker)
    store.eval(START)
    assert store.eval("a[7] = 1.0") < 320_000
    deadline = time.monotonic() + 10
    while group_of(worker.interpreter) != {worker.interpreter}:  # the child of a checkpoint, for a moment
        assert time.monotonic() < deadline
    there = store.says(DIGEST)
    assert store.restored("import hashlib\n" + DIGEST) == [there]


def test_a_shadow_ends_with_its_interpreter(tmp_path):
    """However that ends."""
    folder = tmp_path / "alone"
    folder.mkdir()
    worker = WorkerProcess(folder, is_alone=True)
    link = worker.claimed()
    link.eval(START)
    link.request("eval", {"code": "os.kill(os.getpid(), 9)"})
    assert worker.process.wait(10) != 0
    worker.end()


STEPS = (
    "a[{i}] = {f}", "a[{i}:{i} + 70_000] *= {f}", "a.sort()", "c = a.copy()", "a, c = c, a",
    "del c; c = a[{i}:].copy()", "c = np.zeros(2_000_000)", "c.sum()", "c[{j}] = {f}", "c = c[::-1]",
    "a = np.concatenate([a[{i}:], a[:{i}]])", "a.fill({f})", "n += 1", "n += 1", "gc.collect()",
    "c.resize(1_500_000, refcheck=False) if c.flags.owndata else None",
)  # fmt: skip
BOTH = "import hashlib\nhashlib.sha256(a.tobytes() + np.ascontiguousarray(c).tobytes() + str(n).encode()).hexdigest()"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_steps(store, seed):
    """Sixty random changes; what a new worker restores is compared at every tenth."""
    dice = random.Random(seed)
    store.eval(START + "c = a.copy()")
    for step in range(60):
        code = dice.choice(STEPS).format(i=dice.randrange(1_400_000), j=dice.randrange(1000), f=dice.random())
        store.eval(code)
        if step % 10 == 9:
            there = store.says(BOTH)
            assert store.restored("import numpy as np\n" + BOTH) == [there]


def test_signals_of_the_tenants_arrive_after_a_checkpoint(store):
    """They are held up only for the fork."""
    store.eval(START)
    store.eval("heard = []\nsignal.signal(signal.SIGUSR1, lambda *_: heard.append(1)) and None")
    store.eval("os.kill(os.getpid(), signal.SIGUSR1)")
    assert store.says("len(heard), gc.isenabled(), signal.pthread_sigmask(signal.SIG_BLOCK, [])") == "(1, True, set())"


def test_no_descriptors_are_needed(store):
    """The fork's own are missing: the checkpoint is taken in place, and the tenant's signals and collector are as
    before."""
    store.eval(START)
    store.eval("taken = []\ntry:\n    while True: taken.append(os.dup(0))\nexcept OSError: pass\na[1] = 2.0")
    told = store.says("gc.isenabled(), signal.pthread_sigmask(signal.SIG_BLOCK, [])")
    assert told == "(True, set())"
    store.eval("for fd in taken: os.close(fd)\na[2] = 3.0")
    there = store.says(DIGEST)
    assert store.restored("import hashlib\n" + DIGEST) == [there]
