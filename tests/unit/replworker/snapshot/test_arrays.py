"""Arrays of numpy and frames of pandas: what shares memory goes on doing so, what copies before a write still does."""

import pytest


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
    "overlapping views of what nobody else has": "base = np.arange(50_000.0); x = base[5:9]; y = base[7:12]; del base",
    "the same, once more and backwards": "base = np.arange(50_000.0); x = [base[5:9]]; z = base[:2]; "
    "y = base[8:2:-1]; del base",
    "the same of Python objects": "base = np.arange(50_000).astype(object); x = base[5:9]; y = base[7:12]; del base",
    "records of an array": "y = np.zeros(9, dtype=[('a', 'i4'), ('b', 'f8')]); x = y.view(np.recarray)",
    "some records of many": "y = np.zeros(9000, dtype=[('a', 'i4')]); x = y.view(np.recarray)[3:5]",
    "a field of records": "y = np.recarray(9, dtype=[('a', 'i4'), ('b', 'f8')]); y.a = 1; y.b = 2; x = y.b",
}


@pytest.mark.parametrize("title", SHARED)
def test_arrays_that_share_memory_always_will(own_stage, title):
    """A view shows the memory of its base after one restore and after three."""
    evals = (
        f"import numpy as np\n{SHARED[title]}\ndef inner(v):\n    while type(v) in (list, dict):\n"
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


def test_views_that_only_lie_across_each_other(own_stage):
    """Columns show no common memory: what lies between them is not kept for it."""
    evals = "import numpy as np\nm = np.zeros((500, 500)); x = m[:, 3]; y = m[:, 4]; del m"
    (answer,) = own_stage.play({"evals": [evals]})
    assert answer["takes"][-1]["state_bytes"] < 20_000


def test_records_stay_records(own_stage):
    """With their class and their fields, however they came to be."""
    own_stage.survives(
        "import numpy as np\na = np.zeros(3, [('a', 'i4')]); r = a.view(np.recarray); o = np.rec.array([(1, 2.5)])",
        "type(r) is np.recarray and r.a.tolist() == [0, 0, 0] and type(r[0]) is np.record",
        "type(o) is np.recarray and bool(o.f1[0] == 2.5)",
    )


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
