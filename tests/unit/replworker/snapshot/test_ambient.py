"""State outside the namespace that is kept: generators, decimal context, working folder, `sys.path`, environment."""

import pytest


def test_random_goes_on(stage):
    """The sequence of `random` goes on in a fresh process as if nothing had happened; a fork may start anew."""
    evals = (
        "import random; random.seed(1); a = random.random(); state = random.getstate()\n"
        "expected = [random.random() for _ in range(3)]; random.setstate(state)"
    )
    check = "[random.random() for _ in range(3)] == expected"
    _, second = stage.play({"evals": [evals]}, {"checks": [check]})
    assert second["before"] == ["True"]
    _, second = stage.play({"evals": [evals]}, {"checks": [check], "reseed": True})
    assert second["before"] == ["False"]


def test_no_two_copies_draw_the_same(stage):
    """Each restore of a copy has a seed of its own, also where nobody had drawn; and goes on from there afterwards."""
    evals = {"evals": ["import random; random.seed(1)"]}
    copy = {"checks": ["random.random()"], "reseed": True}
    drawn = {stage.play(evals, copy)[1]["before"][0] for _ in range(3)}
    assert len(drawn) == 3
    goes_on = {"evals": ["s = random.getstate()"], "reseed": True}
    _, _, third = stage.play(evals, goes_on, {"checks": ["random.getstate() == s"]})
    assert third["before"] == ["True"]


def test_a_generator_that_can_not_be_reseeded_is_reported(stage):
    """The tenant's own `seed` fails: he hears of it, and the session goes on."""
    broken = "import random; random.seed = None"
    _, second = stage.play({"evals": ["import random; x = 1"]}, {"checks": ["x"], "reseed": True})
    assert second["before"] == ["1"] and second["restored"]["unsaved"] == {}
    evals = f"class Loud:\n    def __reduce__(self): return exec, ({broken!r},)\nloud = Loud()"
    _, second = stage.play({"evals": ["import random; x = 1", evals]}, {"checks": ["x"], "reseed": True})
    assert second["before"] == ["1"] and list(second["restored"]["unsaved"]) == ["state:random"]


def test_random_is_seen_at_each_checkpoint(stage):
    """Draws between two checkpoints are in the second one."""
    _, second = stage.play(
        {"evals": ["import random; random.seed(1)", "a = random.random()", "s = random.getstate()"], "take_each": True},
        {"checks": ["random.getstate() == s"]},
    )
    assert second["before"] == ["True"]


def test_numpys_global_generator_goes_on(own_stage):
    """The same for numpy's, with and without a spare normal number."""
    _, second = own_stage.play(
        {
            "evals": [
                (
                    "import numpy as np; np.random.seed(1); np.random.randn(); s = np.random.get_state(); "
                    "expected = np.random.randn(3).tolist(); np.random.set_state(s)"
                )
            ]
        },
        {"checks": ["np.random.randn(3).tolist() == expected"]},
    )
    assert second["before"] == ["True"]


def test_decimal_context(stage):
    """Precision, rounding, traps and flags; a name for the current context stays the current context."""
    stage.survives(
        (
            "import decimal; ctx = decimal.getcontext(); ctx.prec = 5; ctx.rounding = decimal.ROUND_UP; "
            "ctx.traps[decimal.Inexact] = False; ctx.flags[decimal.Rounded] = True; mine = decimal.Context(prec=3)"
        ),
        (
            "str(decimal.Decimal(1) / 3) == '0.33334' and ctx is decimal.getcontext() and ctx.flags[decimal.Rounded] "
            "and mine.prec == 3"
        ),
    )


def test_environment_and_path(stage):
    """Variables set, changed and removed; entries of `sys.path` added, in order."""
    stage.survives(
        (
            "import os, sys; os.environ['NEW'] = 'né'; os.environ['HOME'] = '/h'; os.environ.pop('PATH', "
            "None); sys.path.insert(0, '/first'); sys.path.append('/last'); n = len(sys.path)"
        ),
        (
            "os.environ['NEW'] == 'né' and os.environ['HOME'] == '/h' and 'PATH' not in os.environ "
            "and os.getenv('NEW') == 'né'"
        ),
        "sys.path[0] == '/first' and sys.path[-1] == '/last' and len(sys.path) == n",
    )


def test_changes_of_a_restored_process_are_kept_on(stage):
    """What came with a checkpoint is in the next one too: it is measured against a fresh process."""
    *_, last = stage.play(
        {
            "evals": [
                (
                    "import os, sys, decimal, random; os.environ['A'] = '1'; sys.path.append('/a'); "
                    "decimal.getcontext().prec = 7; random.seed(3)"
                )
            ]
        },
        {"evals": ["x = 1"]},
        {
            "checks": [
                (
                    "os.environ['A'], sys.path[-1], decimal.getcontext().prec, random.random() == (random.seed(3), "
                    "random.random())[1]"
                )
            ]
        },
    )
    assert last["before"] == ["('1', '/a', 7, True)"]


def test_the_working_folder(stage, tmp_path):
    """The current folder and entries of `sys.path` inside the work folder move along to the next worker's folder."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    _, second = stage.play(
        {
            "folder": str(here),
            "evals": [
                (
                    "import os, sys; os.mkdir('sub'); os.chdir('sub'); sys.path.append(os.getcwd()); open('helper.py', "
                    "'w').write('V = 3'); import helper"
                )
            ],
        },
        {"folder": str(there), "checks": ["os.getcwd()", "sys.path[-1]", "helper.V, helper.__file__"]},
    )
    assert second["before"] == [repr(str(there / "sub"))] * 2 + [f"(3, {str(there / 'sub' / 'helper.py')!r})"]


@pytest.mark.parametrize(
    "damage",
    [
        "os.environ = {}",
        "sys.path = ['/x']",
        "random.Random.getstate = None",
        "decimal.getcontext = None",
        "sys.path.append(7)",
    ],
)
def test_a_damaged_library_costs_only_itself(stage, damage):
    """What a tenant has broken is left alone; the namespace is kept all the same."""
    _, second = stage.play({"evals": [f"import os, sys, random, decimal\n{damage}\nx = 1"]}, {"checks": ["x"]})
    assert second["before"] == ["1"]
