"""Which goals stand, whom they hold for, and when one is met."""

import pytest

from loadtests.contestants.contestant import TASKS
from loadtests.figures import Figure
from loadtests.goals import (
    BARE_BUBBLEWRAP,
    BARE_DOCKER,
    BASCULE_BUBBLEWRAP,
    BASCULE_DOCKER,
    BRIDGE,
    BY_NAME,
    MEASURES,
    Measure,
    judge,
    rows,
)

# The table of the blueprint, section 8, a second time: at most, at least, and both for the ratio.
GOALS = {
    "start.cold.p50": (None, None, 1.3, None),
    "memory.session": (10, None, None, None),
    "start.warm.p50": (3, None, None, None),
    "start.warm.p99": (15, None, None, None),
    "round_trip.none.p50": (0.25, None, 2.1, None),
    "round_trip.none.p99": (1, None, None, None),
    "round_trip.commit.p50": (0.6, None, 5, None),
    "round_trip.commit.p99": (3, None, None, None),
    "output.print": (80, None, None, None),
    "output.print.growth": (4, None, None, None),
    "output.lines.growth": (4, None, None, None),
    "throughput.none": (None, 10_000, None, 0.35),
    "throughput.commit": (None, 8_000, None, 0.28),
    "wake.small.p50": (10, None, None, None),
    "wake.large.p50": (80, None, None, None),
    "fork.p50": (15, None, None, None),
    "many.worker": (10, None, None, None),
    "checkpoint.frame.elsewhere.pause": (5, None, None, None),
    "checkpoint.frame.elsewhere.wait": (10, None, None, None),
    "checkpoint.frame.element.sent": (1, None, None, None),
    "checkpoint.objects.elsewhere.pause": (5, None, None, None),
    "checkpoint.objects.elsewhere.wait": (10, None, None, None),
    "checkpoint.large.element.wait": (60, None, None, None),
    "checkpoint.large.element.sent": (1, None, None, None),
}


def one(*values):
    """A figure of these rounds."""
    return Figure(tuple(values))


def row_of(results, measure, contestant):
    """The one row of that name."""
    (found,) = (row for row in rows(results) if (row.measure.name, row.contestant) == (measure, contestant))
    return found


def test_the_goals_are_the_blueprints():
    """None is loosened, and none is forgotten."""
    bounds = {
        measure.name: (measure.at_most, measure.at_least, measure.ratio_at_most, measure.ratio_at_least)
        for measure in MEASURES
    }
    assert {name: found for name, found in bounds.items() if any(found)} == GOALS


def test_every_measure_belongs_to_a_task():
    """Else `--only` could never reach it."""
    assert [name for name in BY_NAME if not any(f"{name}.".startswith(f"{task}.") for task in TASKS)] == []


@pytest.mark.parametrize(
    ("value", "factor", "verdict"),
    [(0.25, None, "met"), (0.26, None, "missed"), (9.0, 2.1, "met"), (0.1, 2.2, "missed")],
)
def test_the_ratio_counts_where_there_is_one(value, factor, verdict):
    """Machines drift; without a reference the absolute bound holds. A bound itself is met."""
    assert judge(BY_NAME["round_trip.none.p50"], value, factor) == verdict


@pytest.mark.parametrize(
    ("value", "factor", "verdict"),
    [(10_000, None, "met"), (9_999, None, "missed"), (1, 0.35, "met"), (99_999, 0.34, "missed")],
)
def test_more_is_better_for_throughput(value, factor, verdict):
    """The same with bounds from below."""
    assert judge(BY_NAME["throughput.none"], value, factor) == verdict


def test_a_ratio_beside_an_absolute_goal_changes_nothing():
    """Where only an absolute bound is set."""
    assert judge(BY_NAME["start.warm.p50"], 3.1, 0.1) == "missed"
    assert judge(BY_NAME["start.warm.p50"], 2.9, 70.0) == "met"


def test_without_a_bound_there_is_no_verdict():
    """Nor for a ratio's goal whose reference was left out."""
    assert judge(BY_NAME["memory.shim"], 1e9, 1e9) == ""
    assert judge(BY_NAME["start.cold.p50"], 1e9, None) == ""


def test_goals_hold_for_bascule_alone():
    """The others stand beside it."""
    results = {"start.warm.p50": {BRIDGE: one(99), BASCULE_DOCKER: one(99)}}
    assert row_of(results, "start.warm.p50", BRIDGE).verdict == ""
    assert row_of(results, "start.warm.p50", BASCULE_DOCKER).verdict == "missed"


def test_a_cold_start_is_compared_with_the_same_engines():
    """Docker with Docker, bubblewrap with bubblewrap."""
    names = (BASCULE_DOCKER, BASCULE_BUBBLEWRAP, BARE_DOCKER, BARE_BUBBLEWRAP)
    results = {"start.cold.p50": dict(zip(names, map(one, (250, 60, 200, 40)), strict=True))}
    docker = row_of(results, "start.cold.p50", BASCULE_DOCKER)
    bubblewrap = row_of(results, "start.cold.p50", BASCULE_BUBBLEWRAP)
    assert (docker.reference, docker.ratio, docker.verdict) == (BARE_DOCKER, 1.25, "met")
    assert (bubblewrap.reference, bubblewrap.ratio, bubblewrap.verdict) == (BARE_BUBBLEWRAP, 1.5, "missed")


def test_commit_is_compared_with_the_bridge_that_keeps_nothing():
    """The bridge has no row of its own there."""
    results = {"round_trip.none.p50": {BRIDGE: one(0.1)}, "round_trip.commit.p50": {BASCULE_DOCKER: one(0.4)}}
    row = row_of(results, "round_trip.commit.p50", BASCULE_DOCKER)
    assert (row.ratio, row.verdict) == (pytest.approx(4), "met")


def test_rows_are_in_the_order_of_the_table():
    """Whatever the order of measuring was."""
    results = {"throughput.none": {BRIDGE: one(1)}, "start.cold.p50": {BARE_DOCKER: one(1)}}
    assert [row.measure.name for row in rows(results)] == ["start.cold.p50", "throughput.none"]


def test_a_goal_in_words():
    """As the table shows it."""
    assert BY_NAME["round_trip.none.p50"].goal() == "<= 0.25 ms or <= 2.1 x"
    assert BY_NAME["throughput.none"].goal() == ">= 10000 1/s or >= 0.35 x"
    assert Measure("a", "b", "s").goal() == ""
