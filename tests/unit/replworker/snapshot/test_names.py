"""Names that can't be kept: each is listed with its reason, and costs nobody else."""

import sys

import pytest

from unit.replworker.snapshot.staging import cases

REFUSED = cases("refused.txt")


@pytest.mark.parametrize("title", REFUSED)
def test_refused(stage, title):
    """The name is listed with its reason, gone after the restore and listed again; its neighbours survive."""
    evals, (reason,) = REFUSED[title]
    shared = "before = [1]; K = 5\n" + evals + "\nholder = {'shared': before}\ndef after(): return before, K"
    answer = stage.survives(shared, "after() == ([1], 5) and holder['shared'] is before and after()[0] is before")
    assert set(answer["taken"]["unsaved"]) == {"x"}
    assert reason in answer["taken"]["unsaved"]["x"]
    assert answer["restored"]["unsaved"] == answer["taken"]["unsaved"]


def test_shared_with_a_dropped_name(stage):
    """What a dropped name shares with kept names survives as one object."""
    answer = stage.survives(
        "class C: pass\nshared = C(); bad = [shared, (i for i in [])]; good = [shared]; also = {'s': shared}",
        "good[0] is shared and also['s'] is shared and type(shared) is C",
    )
    assert set(answer["taken"]["unsaved"]) == {"bad"}


def test_every_name_that_reaches_it(stage):
    """All names that reach the bad object are dropped, no placeholder takes its place."""
    first, second = stage.play(
        {"evals": ["g = (i for i in [1]); a = [g]; b = {'a': a}; ok = 1\ndef f(): return g"]},
        {"checks": ["sorted(n for n in globals() if n[0] != '_')", "f()"]},
    )
    assert set(first["takes"][-1]["unsaved"]) == {"g", "a", "b"}
    assert second["before"] == ["['f', 'ok']", "NameError: name 'g' is not defined"]


def test_bad_names_come_and_go(stage):
    """A name that becomes good is kept again, one that is rebound or deleted is forgotten."""
    (answer,) = stage.play(
        {
            "evals": [
                "l = [1]; g = (i for i in [])",
                "l.append(g)",
                "l.pop(); x = 2",
                "g = 5",
                "f = open('/dev/null')",
                "del f",
            ],
            "take_each": True,
        }
    )
    assert [set(take["unsaved"]) for take in answer["takes"][:-1]] == [{"g"}, {"l", "g"}, {"g"}, set(), {"f"}, set()]


def test_an_id_that_is_used_again(stage):
    """An object that stands where a dead one stood is not taken for it."""
    evals = [
        "import threading\nnames = [f'x{n}' for n in range(100)]\n"
        "for name in names: globals()[name] = threading.Lock()\n"
        "places = {id(globals()[name]): name for name in names}",
        "for name in names: globals()[name] = None\n"
        "new = [value for n in range(20_000) for value in (bytes(8), bytes(24), [n], (n,))]\n"
        "again = [value for value in new if id(value) in places]\n"
        "for value in again: globals()[places[id(value)]] = value",
    ]
    check = "len(again) > 0 and all(type(globals()[name]) in (type(None), bytes, list, tuple) for name in names)"
    first, second = stage.play({"evals": evals, "take_each": True}, {"checks": [check]})
    assert len(first["takes"][0]["unsaved"]) == 100
    assert first["takes"][-1]["unsaved"] == {} and second["before"] == ["True"]


def test_kept_after_it_became_good(stage):
    """What was unsaved once is in the state as soon as it can be."""
    first, second = stage.play(
        {"evals": ["l = [1, (i for i in [])]", "l.pop()", "z = 1"], "take_each": True}, {"checks": ["l", "z"]}
    )
    assert first["takes"][-1]["unsaved"] == {} and second["before"] == ["[1]", "1"]


def test_a_loop_costs_one_name(stage):
    """An object that loops while it is pickled is interrupted by the caller, and costs only its name, once."""
    evals = [
        "ok = [1]\nclass Loop:\n    def __reduce__(self):\n        while True: pass\nx = Loop(); fine = {2}",
        (
            "import signal\ndef enough(*_): raise KeyboardInterrupt\n"
            "signal.signal(signal.SIGALRM, enough)\nsignal.setitimer(signal.ITIMER_REAL, 0.1, "
            "0.1)"
        ),
        "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)",
        "late = 3",
    ]
    evals[0] = evals[1] + "\n" + evals[0]
    first, second = stage.play(
        {"evals": [evals[0], evals[2], evals[3]], "take_each": True},
        {"checks": ["ok", "fine", "late", "Loop.__name__"]},
    )
    assert [take["unsaved"] for take in first["takes"]] == [{"x": "took too long to save"}] * 4
    assert second["before"] == ["[1]", "{2}", "3", "'Loop'"]


def test_a_raised_recursion_limit_is_no_crash(stage):
    """A structure deeper than the stack is unsaved, however high the tenant has set the limit; a neighbour survives."""
    first, second = stage.play(
        {"evals": ["import sys\nsys.setrecursionlimit(10**7)\nx = []\nfor _ in range(300_000): x = [x]\nok = 1"]},
        {"checks": ["ok"]},
    )
    assert "nested too deeply" in first["takes"][-1]["unsaved"]["x"] and second["before"] == ["1"]


def test_a_deep_structure_is_kept(own_stage):
    """A linked list beyond Python's own recursion limit is kept, where the Python's C limit allows it."""
    nodes = 1500 if sys.version_info < (3, 12) else 150
    own_stage.survives(
        f"class N:\n    def __init__(self, n): self.n = n\nhead = None\nfor _ in range({nodes}): head = N(head)\n"
        "def depth(node):\n    count = 0\n    while node: node = node.n; count += 1\n    return count",
        f"depth(head) == {nodes}",
    )


CHAINS = {
    "lists": "x = []\nfor _ in range(DEPTH): x = [x]",
    "tuples in dicts": "x = ()\nfor _ in range(DEPTH): x = {'k': (x,)}",
    "instances": "class L:\n    def __init__(self, n): self.n = n\nx = None\nfor _ in range(DEPTH): x = L(x)",
    "closures": "def add(f): return lambda: f\nx = 1\nfor _ in range(DEPTH): x = add(x)",
    "exceptions": "x = ValueError()\nfor _ in range(DEPTH):\n    y = ValueError(); y.__cause__ = x; x = y\ndel y",
    "classes": "x = object\nfor _ in range(DEPTH): x = type('C', (), {'o': x})",
    "partials": "import functools\nx = print\nfor _ in range(DEPTH): x = functools.partial(x, k=[x])",
    "bound methods": "class M:\n    def f(self): pass\n"
    "x = None\nfor _ in range(DEPTH):\n    m = M(); m.f2 = x; x = m.f\ndel m",
}


@pytest.mark.parametrize("title", CHAINS)
@pytest.mark.parametrize("depth", [400, 2500, 20_000])
def test_long_chains_never_crash(stage, title, depth):
    """A chain of any length and kind is kept or listed, and its neighbour is kept; the process lives."""
    chain = CHAINS[title].replace("DEPTH", str(depth))
    first, second = stage.play({"evals": [f"ok = 1\n{chain}"]}, {"checks": ["ok", "'x' in globals()"]})
    unsaved = first["takes"][-1]["unsaved"]
    assert first["errors"] == [] and set(unsaved) <= {"x"} and second["restored"]["unsaved"] == unsaved
    assert second["before"] == ["1", str("x" not in unsaved)]


def test_a_change_by_a_thread_costs_one_name(stage):
    """A dict that a thread changes all the time is unsaved or kept whole; others are kept."""
    evals = (
        "import threading\nd = {}; ok = [2]\ndef work():\n    n = 0\n    while True:\n        d[n % 5000] = n; n += 1\n"
        "        if n % 7 == 0: d.pop(n % 5000, None)\nthreading.Thread(target=work, daemon=True).start()"
    )
    first, second = stage.play({"evals": [evals] + ["z = 1"] * 20, "take_each": True}, {"checks": ["ok"]})
    assert set(first["takes"][-1]["unsaved"]) <= {"d"} and second["before"] == ["[2]"]


def test_odd_keys_of_the_namespace(stage):
    """Keys that are no strings are kept if they can be, and named by their type if not."""
    first, second = stage.play(
        {
            "evals": [
                (
                    "globals()[1] = 2\nclass K: pass\nglobals()[(i for i in [])] = 3\n"
                    "globals()['\\ud800'] = open('/dev/null')"
                )
            ]
        },
        {"checks": ["globals()[1]"]},
    )
    assert set(first["takes"][-1]["unsaved"]) == {"<key of type generator>", "?"} and second["before"] == ["2"]


def test_unsaved_is_bounded(stage):
    """No more names are listed than the limit says; the rest is counted."""
    (answer,) = stage.play(
        {"evals": ["for i in range(50): globals()[f'g{i}'] = (i for i in [])"]}, limits={"unsaved_max": 10}
    )
    unsaved = answer["takes"][-1]["unsaved"]
    assert len(unsaved) == 11 and unsaved["…"] == "and 40 more"


def test_too_large_a_state(stage):
    """Over the limit of the state the largest names go first, and are listed; later they may come back."""
    first, second = stage.play(
        {"evals": ["a = bytes(50_000); b = bytes(400_000); c = bytearray(450_000); d = 'x' * 2_000_000; e = 1"]},
        {"checks": ["len(a)", "len(b)", "e", "'c' in globals() or 'd' in globals()"]},
        limits={"state_bytes_max": 600_000},
    )
    unsaved = first["takes"][-1]["unsaved"]
    assert unsaved["d"] == "larger than a state may be" and "over 600000 bytes" in unsaved["c"]
    assert second["before"] == ["50000", "400000", "1", "False"]
