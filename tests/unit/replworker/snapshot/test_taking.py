"""Checkpoints over time: small ones are inline, large ones send only what is new."""

import hashlib

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


def test_numpy_kinds(own_stage):
    """Arrays of all sorts, views and scalars are what they were; those that share memory still do."""
    own_stage.survives(
        "import numpy as np\na = np.arange(12).reshape(3, 4); t = a.T; r = a[::-1]; f = np.asfortranarray(a); "
        "ro = np.arange(3); ro.flags.writeable = False\n"
        "o = np.array([1, 'x', None], dtype=object); z = np.zeros((0, 3)); s = np.float64(1.5); "
        "dt = np.array(['2020-01-01'], dtype='M8[D]')\n"
        "st = np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')]); b = np.arange(100_000) "
        "> 5; big = np.arange(50_000); w = big[5:9]; m = np.ma.array([1, 2], mask=[0, 1]); "
        "rng = np.random.default_rng(3)",
        "a[1, 2] == 6 and t.shape == (4, 3) and r[0, 0] == 8 and f.flags.f_contiguous and not ro.flags.writeable",
        (
            "o[1] == 'x' and z.shape == (0, 3) and s == 1.5 and type(s) is np.float64 and str(dt[0]) "
            "== '2020-01-01' and bool(st['b'][0] == 2.0 and b.sum() == 99_994)"
        ),
        "(a.__setitem__((0, 0), 50), t[0, 0], r[2, 0], a.__setitem__((0, 0), 0))[1:3] == (50, 50)",
        "(big.__setitem__(5, -3), int(w[0]), big.__setitem__(5, 5))[1] == -3 and big.flags.writeable",
        "bool(m.sum() == 1) and rng.random() is not None",
    )


SHARED = {
    "a small view of a large array": "big = np.arange(50_000.0); x = big[5:9]; y = big",
    "in containers": "net = {'flat': np.zeros(30_000)}; net['w'] = net['flat'][:9].reshape(3, 3)\n"
    "x = net['w']; y = net['flat']; del net",
    "the view before its base": "x = None; y = [np.zeros(30_000)]; x = y[0][5:8]; y = {'k': y[0]}; x = [x]",
    "column order": "y = np.asfortranarray(np.arange(12.0).reshape(3, 4)); x = y[1]",
    "a field": "y = np.zeros(9, dtype=[('a', 'i4'), ('b', 'f8')]); x = y['b']",
    "times": "y = np.arange(9).astype('M8[D]'); x = y[2:4]",
    "texts": "y = np.array(['ab', 'c', 'd']); x = y[::-1]",
    "Python objects": "y = np.array([1, 'a', None, [2]], dtype=object); x = y[1:]",
    "Python objects backwards": "y = np.array([1, 'a', None, [2]], dtype=object); x = y[::-2]",
    "another type": "y = np.arange(9.0); x = y.view('u1')",
}


@pytest.mark.parametrize("title", SHARED)
def test_arrays_that_share_memory_always_will(own_stage, title):
    """A view shows the memory of its base after one restore and after three."""
    evals = (
        f"import numpy as np\n{SHARED[title]}\ndef inner(v):\n    while type(v) is not np.ndarray:\n"
        "        v = v[0] if type(v) is list else v['k']\n    return v\nbefore = inner(x).tolist()"
    )
    check = "bool(np.shares_memory(inner(x), inner(y)) and inner(x).tolist() == before)"
    answers = own_stage.play({"evals": [evals], "checks": [check]}, *[{"checks": [check]}] * 3)
    assert answers[0]["after"] == ["True"]
    assert [answer["before"] for answer in answers[1:]] == [["True"]] * 3
    assert all(answer["takes"][-1]["unsaved"] == {} for answer in answers)


def test_a_view_of_what_nobody_else_has(own_stage):
    """Of a large array that is reached through a small view only, no more than the view is kept."""
    (answer,) = own_stage.play({"evals": ["import numpy as np\nx = np.arange(1_000_000)[5:9]"]})
    assert answer["takes"][-1]["state_bytes"] < 20_000


def test_mapped_arrays_are_listed(own_stage, tmp_path):
    """An array that is a file is no longer one as a copy."""
    evals = f"import numpy as np\nx = np.memmap({str(tmp_path / 'm')!r}, mode='w+', shape=4); y = np.asarray(x) + 1"
    first, second = own_stage.play({"evals": [evals]}, {"checks": ["y.tolist()"]})
    assert first["takes"][-1]["unsaved"] == {"x": "mapped memory"} and second["before"] == ["[1, 1, 1, 1]"]


WRITES = {
    "a column": ("x = df['x']", "x.iloc[0] = 99"),
    "a shallow copy": ("x = df.copy(deep=False)", "x.iloc[0, 0] = 99"),
    "another index": ("x = df.reset_index(drop=True)", "x.loc[0, 'y'] = 99"),
    "the original of a selection": ("x = df; df = x[['x', 'y']]", "x.loc[0, 'x'] = 99"),
    "an index of a column": ("x = df['x']; df = pd.Index(df['x'])", "x.iloc[0] = 99"),
    "a series of an index": ("df = df.set_index('y').index; x = pd.Series(df)", "x.iloc[0] = 99"),
    "a slice of texts": ("df = pd.Series(['a', 'b']); x = df[:]", "x.iloc[0] = 'z'"),
    "rows of a large frame": ("df = pd.DataFrame(np.zeros((30_000, 4))); x = df.iloc[0:3]", "x.iloc[0, 0] = 99"),
}


@pytest.mark.parametrize("title", WRITES)
def test_pandas_copies_before_it_writes(own_stage, title):
    """Frames share values until one is written to: after restores too, that leaves the other alone."""
    share, write = WRITES[title]
    evals = f"import pandas as pd, numpy as np\ndf = pd.DataFrame({{'x': np.arange(5), 'y': np.arange(5.0)}})\n{share}"
    check = "(bool(df.copy(deep=True).equals((exec(WRITE), df)[1])), 99 in x.values or 'z' in x.values)"
    first, second, third = own_stage.play(
        {"evals": [f"{evals}\nWRITE = {write!r}"]}, {"evals": ["n = 1"]}, {"checks": [check]}
    )
    assert first["errors"] == [] and second["restored"]["unsaved"] == {} and third["before"] == ["(True, True)"]


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
    taker.restored(taken.references, state_bytes=taken.state_bytes)
    assert not taker.wants_fork()


def test_what_a_forked_child_found_is_learnt():
    """With the child's references the parent sends nothing twice, and wants a fork again by the child's size."""
    namespace = {"data": bytes(range(256)) * 8192, "g": (letter for letter in "g")}
    child, parent = _taker(namespace), _taker(namespace)
    taken = child.take({})
    parent.restored(taken.references, state_bytes=taken.state_bytes, unsaved=taken.unsaved)
    assert parent.wants_fork()
    again = parent.take({})
    assert [data for _, data in again.chunks if len(data) > 4096] == [] and again.unsaved == taken.unsaved
    parent.restored(())
    assert len(parent.take({}).chunks) == len(taken.chunks)


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
