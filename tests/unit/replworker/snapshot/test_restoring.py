"""What goes wrong at a restore: a name that fails to load costs that name, a manifest that can't be read is refused."""

import marshal
import sys

import pytest

from replworker.snapshot import RestoreError, SnapshotLimits, Snapshotter, restore
from replworker.snapshot.manifest import HEAD, decode

# A class whose instances load only where `READY` is set in the process, which a fresh one has not.
FUSSY = (
    "import sys\nsys.READY = True\n"
    "class Fussy:\n    def __init__(self, *held): self.held = held\n"
    "    def __setstate__(self, state):\n        if not hasattr(sys, 'READY'): raise RuntimeError('not here')\n"
    "        self.__dict__.update(state)\n"
)
BURNT = (
    "def burn():\n    raise LookupError('gone')\n"
    "class Burnt:\n    def __init__(self, *held): self.held = held\n"
    "    def __reduce__(self): return burn, ()\n"
)


def test_a_name_that_fails_to_load_costs_that_name(stage):
    """Names before and after it are there, what it shares with them is one object, the report says why."""
    first, second = stage.play(
        {
            "evals": [
                FUSSY
                + (
                    "before = [1]; shared = {'s': 1}; x = Fussy(shared, before); y = [shared]; z = (x, "
                    "5); deep = {'k': [z]}; after = 'end'; n = 7"
                )
            ]
        },
        {
            "checks": [
                "before, y, after, n, Fussy.__name__",
                "y[0] is shared",
                "sorted({'x', 'z', 'deep'} & set(globals()))",
            ]
        },
    )
    assert first["takes"][-1]["unsaved"] == {}
    assert second["before"] == ["([1], [{'s': 1}], 'end', 7, 'Fussy')", "True", "[]"]
    assert second["restored"]["unsaved"] == dict.fromkeys(["x", "z", "deep"], "RuntimeError: not here")


def test_objects_first_met_in_a_failing_name(stage):
    """An object that comes first in a failing name is kept for the names that share it."""
    _, second = stage.play(
        {"evals": [FUSSY + "shared = [1]; x = Fussy(shared, {'k': shared}); del shared\ny = x.held[0]; z = x.held[1]"]},
        {"checks": ["y, z", "z['k'] is y", "'x' in globals()"]},
    )
    assert second["before"] == ["([1], {'k': [1]})", "True", "False"]


def test_cycles_through_a_failing_object(stage):
    """Whatever reaches the failed object through a cycle goes with it."""
    _, second = stage.play(
        {"evals": [FUSSY + "a = []; b = {'a': a}; a += [b, Fussy()]; c = [b]; ok = [3]"]},
        {"checks": ["sorted({'a', 'b', 'c', 'ok'} & set(globals()))"]},
    )
    assert second["before"] == ["['ok']"] and set(second["restored"]["unsaved"]) == {"a", "b", "c"}


HALF_MADE = {
    "class": "class x:\n    held = Fussy()\n    def m(self): pass",
    "instance": "class C: pass\nC.held = Fussy(); x = C(); del C",
    "default": "def x(held=Fussy()): pass",
    "closure": "def make(held): return lambda: held\nx = make(Fussy())",
    "cell": "import types\nx = types.CellType(Fussy())",
    "exception": "x = KeyError(1); x.held = Fussy()",
    "hash": "class C:\n    def __init__(self): self.n = [Fussy()]\n    def __hash__(self): return 1\nx = C()",
    "cause": "x = KeyError(1); x.__cause__ = ValueError(2); x.__cause__.held = Fussy()",
}


@pytest.mark.parametrize("title", HALF_MADE)
def test_nothing_comes_back_half_made(stage, title):
    """What was made but could not be filled is lost and listed, however its state is set."""
    _, second = stage.play({"evals": [f"{FUSSY}ok = 1\n{HALF_MADE[title]}"]}, {"checks": ["ok", "'x' in globals()"]})
    assert second["before"] == ["1", "False"]
    assert second["restored"]["unsaved"] == {"x": "RuntimeError: not here"}


def test_a_failing_closure_costs_no_sibling(stage):
    """A function that shares an enclosing scope with one that fails is whole."""
    make = "def make(bad):\n    good = [1]\n    return (lambda: bad), (lambda: good)\nf, g = make(Fussy())"
    _, second = stage.play({"evals": [FUSSY + make]}, {"checks": ["g()", "'f' in globals()"]})
    assert second["before"] == ["[1]", "False"] and set(second["restored"]["unsaved"]) == {"f"}


@pytest.mark.parametrize("count", [1, 1500])
def test_failures_among_many(stage, count):
    """A failing constructor in every batch of a large namespace; the others come back."""
    _, second = stage.play(
        {
            "evals": [
                BURNT
                + (
                    f"for i in range({count}): globals()[f'n{{i}}'] = i\n"
                    f"x = Burnt(); y = frozenset([Burnt()])\ns = {{1, Burnt()}}; d = {{Burnt(): 1}}; t "
                    f"= (Burnt(),) * 4\nlast = burn"
                )
            ]
        },
        {
            "checks": [
                f"sum(globals()[f'n{{i}}'] for i in range({count}))",
                "last.__name__",
                "set('xysdt') & set(globals())",
            ]
        },
    )
    assert second["before"] == [str(sum(range(count))), "'burn'", "set()"]
    assert second["restored"]["unsaved"] == dict.fromkeys("xysdt", "LookupError: gone")


def test_a_second_chance_with_the_others_in_place(stage):
    """A name whose loading calls a function of the session's loads once that is there."""
    stage.survives(
        "class P:\n    def __init__(self, v): self.v = v\n    def __setstate__(self, s): self.v = scale(s['v'])\n"
        "p = P(3); same = p\ndef scale(v): return v * FACTOR\nFACTOR = 1",
        "p.v == 3 and same is p and type(p) is P",
    )


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"])
def test_an_exit_while_loading_costs_one_name(stage, error):
    """What a tenant's object raises on being read, of whatever kind, ends neither the restore nor the process."""
    evals = f"ok = 1\ndef burn(): raise {error}\nclass B:\n    def __reduce__(self): return burn, ()\nx = B(); end = 2"
    _, second = stage.play({"evals": [evals]}, {"checks": ["ok, end", "'x' in globals()"]})
    assert second["before"] == ["(1, 2)", "False"] and list(second["restored"]["unsaved"]) == ["x"]


def test_a_module_that_is_gone(stage, tmp_path):
    """Names that need a module which can't be imported any more are listed; others are kept."""
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "vanishing.py").write_text("def f(): return 1\nclass C: pass\n")
    _, second = stage.play(
        {
            "evals": [
                (
                    f"import sys; sys.path.append({str(tmp_path / 'away')!r})\n"
                    f"import vanishing; c = vanishing.C(); f = vanishing.f; ok = 1"
                ),
                f"import shutil; shutil.rmtree({str(tmp_path / 'away')!r})",
            ]
        },
        {"checks": ["ok", "set('cf') & set(globals())"]},
    )
    assert second["before"] == ["1", "set()"] and set(second["restored"]["unsaved"]) == {"vanishing", "c", "f"}
    assert "vanishing" in second["restored"]["unsaved"]["c"]


def test_failures_do_not_come_back(stage):
    """A name that failed at a restore is not in the next state."""
    answers = stage.play({"evals": [FUSSY + "x = Fussy(); ok = 1"]}, {"evals": ["more = 2"]}, {"checks": ["ok + more"]})
    assert answers[1]["takes"][-1]["unsaved"] == {} and answers[2]["before"] == ["3"]
    assert answers[2]["restored"]["unsaved"] == {}


def _taken(namespace, **limits):
    return Snapshotter(namespace, work_folder=None, limits=SnapshotLimits(**limits)).take({})


def _code(manifest, chunks=None):
    with pytest.raises(RestoreError) as refused:
        restore(manifest, chunks or {}, {}, work_folder=None)
    return refused.value.code


def test_a_manifest_of_another_kind():
    """Magic, format, Python and bytecode are checked before anything is opened."""
    manifest = _taken({"x": 1}).manifest
    other = sys.version_info[1] + 1
    assert _code(b"") == _code(b"BSCK") == _code(b"x" * 100) == "corrupt"
    assert _code(manifest[:4] + b"\x63" + manifest[5:]) == "format"
    assert _code(manifest[:6] + bytes([other]) + manifest[7:]) == "python_version"
    assert _code(manifest[:7] + b"\0\0" + manifest[9:]) == "python_version"


def test_a_damaged_manifest():
    """A manifest that was cut or is nonsense is refused, whatever the place."""
    manifest = _taken({"x": [1, 2, 3], "y": "abc"}).manifest
    for length in range(len(HEAD), len(manifest) - 1, 7):
        assert _code(manifest[:length]) == "corrupt"
    assert _code(HEAD + marshal.dumps((1, 2))) == "corrupt"
    assert _code(manifest.replace(b"\x85\x94", b"\xff\xff").replace(b"x", b"\xff")) == "corrupt"


PARTS = ["sections", "buffers", "ambient", "files", "sources", "modules", "large_files", "unsaved", "seeds"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("nonsense", [7, (3, 4), [5]])
def test_a_part_that_is_nonsense(part, nonsense, tmp_path):
    """A manifest of the right form with a part that nobody wrote is refused, and nothing else is raised."""
    manifest = decode(_taken({"x": [1, 2, 3]}).manifest)
    damaged = HEAD + marshal.dumps(tuple(manifest._replace(**{part: nonsense})))
    with pytest.raises(RestoreError):
        restore(damaged, {}, {}, work_folder=str(tmp_path))


def test_a_missing_chunk():
    """Without a chunk that the manifest refers to nothing is touched."""
    taken = _taken({"data": bytes(range(256)) * 4000})
    chunks = dict(taken.chunks)
    chunks.popitem()
    assert _code(taken.manifest, chunks) == "chunk_missing"


def test_a_missing_injected_object():
    """An injected object that the reader doesn't have is told, not replaced."""
    greet = object()
    namespace = {"greet": greet}
    taker = Snapshotter(namespace, work_folder=None, limits=SnapshotLimits(), injected={"greet": greet})
    assert _code(taker.take({}).manifest) == "injected_missing"
