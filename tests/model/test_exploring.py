"""Every promise holds in every state that can be reached; and every rule that is left out is found to be needed."""

from __future__ import annotations

from functools import cache

import pytest

from model.__main__ import BROKEN_STATUS, LIMIT_STATUS, main
from model.edges import Edges
from model.exploring import Report, explore
from model.promises import NAMES
from model.setup import Broken, Setup
from model.setups import BROKEN, SETUPS
from model.steps import WORDS, Step

ONLY_BROKEN = {"find_idle", "park_unraised", "peek", "tell_early"}
"""Steps that no protocol with all its rules takes."""


@cache
def explored(setup: Setup) -> Report:
    """What is found there, once a run."""
    return explore(setup)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SETUPS)
def test_every_promise_holds_in_every_state(name: str) -> None:
    """To the last state, without a limit in the way."""
    report = explored(SETUPS[name])
    assert report.violation is None, str(report.violation)
    assert report.is_complete
    assert report.states > 1000


@pytest.mark.timeout(800)
def test_together_they_take_every_step() -> None:
    """No step of the model is there in name only."""
    taken = {step for setup in SETUPS.values() for step in explored(setup).taken}
    assert set(WORDS) - taken == ONLY_BROKEN


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rule", Broken, ids=lambda rule: rule.name.lower())
def test_a_rule_that_is_left_out_is_found(rule: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    """With the promise that breaks, the shortest trace in words, and nothing to find once the rule is back."""
    setup, promise = BROKEN[rule]
    assert main(["--without", rule.name.lower()]) == BROKEN_STATUS
    told = capsys.readouterr().out
    assert f"broken: {promise}\n  1. " in told
    assert explored(setup).violation is None


def test_every_rule_has_its_setup() -> None:
    """And breaks a promise that there is."""
    assert set(BROKEN) == set(Broken)
    assert {promise for _, promise in BROKEN.values()} <= set(NAMES)


def test_a_trace_is_the_shortest() -> None:
    """The bug that shows at once is told in as many steps as it takes, the last one being the bug."""
    violation = explore(BROKEN[Broken.ACK_BEFORE_COMMIT][0]._replace(broken=Broken.ACK_BEFORE_COMMIT)).violation
    assert violation is not None
    names = ["submit", "raise", "read", "publish", "dispatch", "start", "execute", "tell_early"]
    assert [step.name for step in violation.trace] == names
    assert violation.trace[0] == Step("submit", 1, 1)


def test_a_run_that_met_its_limit_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """It is no proof, and its status is not that of one."""
    assert main(["--evals", "1", "--attempts", "2", "--states-max", "100"]) == LIMIT_STATUS
    assert "NOT COMPLETE" in capsys.readouterr().out


def test_the_same_run_counts_the_same() -> None:
    """States and transitions don't depend on the order of sets or on the run before."""
    setup = SETUPS["a shadow"]
    again = explore(setup)
    assert again[:3] == explored(setup)[:3]
    assert again.taken == explored(setup).taken


def test_what_cannot_reach_a_good_state() -> None:
    """0 leads to the good 1; 2 and 3 lead to each other only."""
    edges = Edges()
    for source, target in ((0, 1), (2, 3), (3, 2), (0, 2)):
        edges.add(source, target)
    assert edges.cannot_reach(bytearray([0, 1, 0, 0])) == 2
    assert edges.cannot_reach(bytearray([0, 1, 0, 1])) is None
