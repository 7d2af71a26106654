"""Checkpoints over time: small ones are inline, large ones send only what is new."""

import hashlib
import marshal
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replworker.snapshot import Checkpoint, SnapshotLimits, Snapshotter

MIB = 1024 * 1024


def _taker(namespace, **limits):
    return Snapshotter(namespace, work_folder=None, limits=SnapshotLimits(**limits))


def test_a_small_state_is_inline():
    """A state up to the limit has no chunks, and costs little more than its values."""
    taken = _taker({"x": 1, "y": "abc"}).take({})
    assert isinstance(taken, Checkpoint)
    assert taken.chunks == () and taken.references == () and taken.unsaved == {} and len(taken.manifest) < 400


def test_equal_states_have_equal_bytes():
    """Two checkpoints of one state are the same bytes."""
    namespace = {"x": [1, {"a": "b"}], "data": bytes(range(256)) * 400}
    taker = _taker(namespace)
    first, second, third = taker.take({}), taker.take({}), taker.take({})
    assert second.manifest == third.manifest and second.chunks == third.chunks == () and len(first.chunks) == 1


def test_content_ids_are_digests():
    """A content id is the SHA-256 of its chunk, no chunk is over the limit, and every new one is referred to."""
    taken = _taker({"data": bytes(range(256)) * 4000}).take({})
    assert len(taken.chunks) > 3
    for name, data in taken.chunks:
        assert name == hashlib.sha256(data).digest() and len(data) <= SnapshotLimits().chunk_bytes
        assert name in taken.references


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "str", "list", "array"])
def test_a_small_change_sends_little(own_stage, kind):
    """A counter beside 4 MB sends no chunk at all, whatever the 4 MB are."""
    big = {
        "bytes": "random.Random(1).randbytes(4 << 20)",
        "bytearray": "bytearray(random.Random(1).randbytes(4 << 20))",
        "str": "random.Random(1).randbytes(2 << 20).hex()",
        "list": "list(range(900_000))",
        "array": "__import__('numpy').arange(600_000)",
    }[kind]
    first, second = own_stage.play(
        {"evals": [f"import random; i = 0; big = {big}", *["i += 1; word = 'w' * i"] * 300], "take_each": True},
        {"checks": ["i", "len(big)", "list(globals())[-3:]"]},
    )
    takes = first["takes"]
    assert takes[0]["new"] > 3 * MIB
    assert sum(take["new"] for take in takes[2:]) == 0 and takes[-1]["manifest_bytes"] < 8192
    assert second["before"][0] == "300" and second["before"][2] == "['i', 'big', 'word']"


def test_a_change_in_a_buffer_sends_one_block(own_stage):
    """One item of a 10 MB array beside a 100,000-row frame: one block is sent, and the state comes back."""
    evals = [
        "import numpy as np, pandas as pd\na = np.arange(1_310_720.0); v = a[10:20]\n"
        "df = pd.DataFrame({'x': np.arange(100_000), 'y': np.arange(100_000) / 2, 's': ['s%d' "
        "% (i % 9) for i in range(100_000)]})",
        "a[3] = -1",
    ]
    check = (
        "bool(a[3] == -1 and a[4] == 4) and len(a) == 1_310_720 and df.shape == (100_000, 3)",
        "bool(df['y'].sum() == 2499975000.0) and df['s'].iloc[10] == 's1' and df.index[-1] == 99_999",
        "bool((a.__setitem__(10, 7.5), v[0], a.__setitem__(10, 10.0))[1] == 7.5)",
    )
    first, second = own_stage.play(
        {"evals": evals, "take_each": True, "checks": check}, {"checks": check, "evals": ["b = a * 2"]}
    )
    assert first["after"] == second["before"] == ["True"] * 3
    assert first["takes"][0]["new"] > 12 * MIB and 0 < first["takes"][1]["new"] <= 256 * 1024
    assert first["takes"][-1]["new"] == 0
    assert second["takes"][-1]["new"] < 12 * MIB, "what was restored must not be sent again"


def test_restored_chunks_are_known(stage):
    """After a restore nothing that the store has is sent again; what is gone is not referred to."""
    _, second, third = stage.play(
        {"evals": ["big = bytes(range(256)) * 8192; other = bytes(700_000)"]},
        {"evals": ["x = 1", "del other", "del big"], "take_each": True},
        {"checks": ["x"]},
    )
    assert [take["new"] for take in second["takes"][2:]] == [0, 0]
    assert max(take["new"] for take in second["takes"]) < 100, "only the end of the stream"
    counts = [take["references"] for take in second["takes"]]
    assert counts[0] > counts[1] > counts[2] == 0 and third["before"] == ["1"]


def test_wants_fork_by_a_look_and_by_the_last_size():
    """Large values in the namespace, or a large state last time, ask for a fork; small ones don't."""
    namespace: dict[str, object] = {"x": 1}
    taker = _taker(namespace)
    assert not taker.wants_fork()
    namespace["data"] = bytes(2 * MIB)
    assert taker.wants_fork()
    namespace["data"] = [bytes(2 * MIB)]
    assert not taker.wants_fork()
    taker.take({})
    assert taker.wants_fork()


def test_large_files_ask_for_no_fork(tmp_path):
    """What is large in the folder only is no reason to fork, neither by a look nor after a restore."""
    (tmp_path / "big").write_bytes(bytes(range(256)) * 16384)
    taker = Snapshotter({"x": 1}, work_folder=str(tmp_path), limits=SnapshotLimits())
    taken = taker.take({})
    assert taken.state_bytes > 4 * MIB and not taker.wants_fork()
    taker.handed_over(taken.references, state_bytes=taken.state_bytes, lesson=taker.lesson())
    assert not taker.wants_fork()


def test_what_a_forked_child_found_is_learnt():
    """With the child's references the parent sends nothing twice, and wants a fork again by the child's size."""
    namespace = {"data": bytes(range(256)) * 8192, "g": (letter for letter in "g")}
    child, parent = _taker(namespace), _taker(namespace)
    taken = child.take({})
    parent.handed_over(taken.references, state_bytes=taken.state_bytes, lesson=child.lesson())
    assert parent.wants_fork()
    again = parent.take({})
    assert [data for _, data in again.chunks if len(data) > 4096] == [] and again.unsaved == taken.unsaved
    parent.restored(())
    assert len(parent.take({}).chunks) == len(taken.chunks)


class Counts:
    """Counts how often it is pickled."""

    def __init__(self) -> None:
        self.times = 0

    def __reduce__(self) -> tuple[Any, ...]:
        self.times += 1
        return (int, ())


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


TWICE: dict[str, Callable[[], dict[str, Any]]] = {
    "what can't be kept": lambda: {"l": [(letter for letter in "g")]},
    "views that share": lambda: {"views": (base := numpy.zeros(90_000), [base[3:6], base[4:9]])[1]},
    "deep structures": lambda: {"deep": _nested(800)},
    "names that are too large": lambda: {"large": bytes(3 * MIB)},
}


@pytest.mark.parametrize("title", TWICE)
def test_a_child_looks_twice_but_once(title):
    """What one checkpoint needed a second look for, the next child need not look for again."""
    counts = Counts()
    namespace = {**TWICE[title](), "counts": counts}
    parent, times = _taker(namespace, state_bytes_max=2 * MIB), []
    for _ in range(3):
        child = _taker(namespace, state_bytes_max=2 * MIB)
        _pass_on(parent, child)
        before = counts.times
        taken = child.take({})
        times.append(counts.times - before)
        lesson = marshal.loads(marshal.dumps(child.lesson()))
        parent.handed_over(taken.references, state_bytes=taken.state_bytes, lesson=lesson)
    assert times[0] > 1 and times[1:] == [1, 1], times


def _pass_on(parent: Snapshotter, child: Snapshotter) -> None:
    """As a fork does it."""
    child.handed_over((), state_bytes=0, lesson=parent.lesson())


def test_only_used_sources_come_along(stage):
    """Sources of code that lives come along and are found by tracebacks and `inspect`; others stay behind."""
    first, second, third = stage.play(
        {
            "evals": [
                "def f(a):\n    return a + 1 / 0",
                "unused = 1",
                "class C:\n    def m(self):\n        return 'body'",
            ]
        },
        {
            "evals": ["import inspect, traceback\ntry: f(1)\nexcept Exception: tb = traceback.format_exc()"],
            "checks": ["inspect.getsource(f)", "'return a + 1 / 0' in tb", "inspect.getsource(C.m)"],
        },
        {"checks": ["inspect.getsource(f)"]},
    )
    assert second["after"] == [
        "'def f(a):\\n    return a + 1 / 0'",
        "True",
        "\"    def m(self):\\n        return 'body'\"",
    ]
    assert third["before"] == second["after"][:1]
    assert first["takes"][-1]["state_bytes"] < 2000


def test_only_modules_that_names_refer_to_are_imported_again(own_stage):
    """Submodules that were imported come back with their package; what no name leads to is not imported."""
    checks = ("m.__name__ in sys.modules and 'wsgiref.headers' in sys.modules", "'http.cookiejar' in sys.modules")
    _, second = own_stage.play(
        {
            "evals": [
                "import sys, email.mime.text, email.mime as m, wsgiref.headers\ndef f(): import http.cookiejar\nf()"
            ]
        },
        {"checks": [*checks, "email.mime.text.MIMEText('a').get_payload()"]},
    )
    assert second["before"] == ["True", "False", "'a'"]


def test_a_large_library_costs_little(own_stage):
    """A name for pandas costs some kilobytes, most of them random generators, and its submodules are there again."""
    (first, second) = own_stage.play(
        {"evals": ["import pandas as pd, numpy.linalg"]},
        {"checks": ["pd.plotting.__name__", "numpy.linalg.det([[2.0]]) == 2"]},
    )
    assert first["takes"][-1]["manifest_bytes"] < 12_000 and second["before"][0] == "'pandas.plotting'"


def test_injected_objects_are_kept_by_name(stage):
    """An object of the interpreter's is restored from the reader's mapping, wherever a tenant has put it."""
    stage.survives(
        "alias = greet; l = [greet]", "greet() == 'hello' and alias is greet and l[0] is greet", injected=True
    )


def test_a_long_life(stage):
    """Ten processes one after the other, each with evals of its own: nothing is lost, names are seen live."""
    steps = [{"evals": ["log = []; n = 0\ndef note(x):\n    global n\n    log.append(x); n += 1\nclass A: made = 0"]}]
    steps += [
        {
            "evals": [
                (
                    f"note({i}); A.made += 1; a{i} = A(); same = all(type(globals()[f'a{{k}}']) is A for "
                    f"k in range({i + 1}))"
                )
            ]
        }
        for i in range(9)
    ]
    steps += [{"checks": ["log == list(range(9))", "n == 9 and A.made == 9 and same", "note.__globals__ is globals()"]}]
    assert stage.play(*steps)[-1]["before"] == ["True"] * 3


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.frozensets(st.integers())
        | st.sets(st.text())
    ),
    max_leaves=20,
)


# Equal texts only for equal values of equal types; sets have no order of their own.
CANONICAL = """
def canonical(value):
    if isinstance(value, (list, tuple)): return [type(value).__name__, *map(canonical, value)]
    if isinstance(value, (set, frozenset)): return [type(value).__name__, *sorted(map(repr, value))]
    if isinstance(value, dict): return {key: canonical(inner) for key, inner in value.items()}
    return repr(value)
"""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), PLAIN, max_size=6))
def test_plain_data_comes_back_equal(own_stage, values):
    """Any nesting of plain data is equal, type by type, in a fresh process."""
    names = {f"v_{name}": value for name, value in values.items()}
    evals = f"{CANONICAL}\ninf = float('inf'); infj = complex('infj')\nglobals().update({names!r})"
    check = f"canonical([{', '.join(names)}])"
    first, second = own_stage.play({"evals": [evals], "checks": [check]}, {"checks": [check]})
    assert first["errors"] == [] and first["after"] == second["before"]
