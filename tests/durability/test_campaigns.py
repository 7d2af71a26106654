"""The short form of every campaign: the counts of the column "in CI", judged by the checker.

The long form is `make campaigns`; docs/specification.md has the table and what was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from durability import results
from durability.driving import drive
from durability.scenes.scene import Order
from durability.table import CAMPAIGNS

SEED = 1
AT_ONCE = 3
"""Most of the time a piece waits for something to come up again."""
LONG_FIRST = ("mixed", "paused")

pytestmark = [pytest.mark.bubblewrap, pytest.mark.docker, pytest.mark.redis, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[results.Line]]:
    """What was done and found, by campaign. All of them run together: they take minutes, and not a quarter hour."""
    folder = tmp_path_factory.mktemp("histories")
    names = sorted(CAMPAIGNS, key=lambda name: name not in LONG_FIRST)
    orders: list[Order] = []
    for name in names:
        orders += CAMPAIGNS[name].pieces(SEED, CAMPAIGNS[name].in_ci, folder)
    figures = asyncio.run(drive(orders, AT_ONCE, quiet=True))
    found: dict[str, list[results.Line]] = {name: [] for name in names}
    for order, done in zip(orders, figures, strict=True):
        found[order.campaign].append(results.line_of(order, done))
    return found


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_nothing_is_found(lines: Mapping[str, Sequence[results.Line]], name: str):
    """Every fault of the column was done, work was acknowledged between them, and the checker found nothing."""
    assert [line["findings"] for line in lines[name] if line["found"]] == []
    assert results.seen(lines[name], name) >= CAMPAIGNS[name].in_ci
    assert all(line["acknowledged"] for line in lines[name])


def test_shadows_took_over(lines: Mapping[str, Sequence[results.Line]]):
    """Some sessions have large arrays, and some of their interpreters died alone."""
    assert sum(line["takeovers"] for name in lines for line in lines[name]) >= 5


def test_front_doors_died_at_marked_points_too(lines: Mapping[str, Sequence[results.Line]]):
    """At random moments alone the worst ones would be met by luck."""
    points = {what for line in lines["doors"] for what in line["faults"] if what.startswith("front door, ")}

    assert len(points) >= 3, points
