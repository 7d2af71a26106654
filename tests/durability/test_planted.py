"""Three bugs are put into a server, one at a time; the campaign that hunts for its kind must not pass.

What it finds is what such a bug does to users. The same orders on the server as it is find nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from durability.scenes.scene import Order
from durability.table import CAMPAIGNS

SEED = 11
PLACES = [
    pytest.param(
        Order("workers", SEED, 6, Path(), "bubblewrap", points=("before-commit",)), "no-fence",
        {"undone", "lost", "two_etags", "sequence", "journal"}, id="a_commit_without_fence",
    ),
    pytest.param(
        Order("doors", SEED, 4, Path(), "bubblewrap", points=("before-commit",)), "early-answer", {"lost"},
        id="an_answer_before_the_commit",
    ),
    pytest.param(
        Order("doors", SEED, 4, Path(), "bubblewrap", points=("before-result",)), "no-dedupe", {"doubled"},
        id="ids_forgotten",
    ),
]  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.bubblewrap
@pytest.mark.redis
@pytest.mark.parametrize(("order", "bug", "names"), PLACES)
async def test_a_planted_bug_is_caught_by_its_campaign(tmp_path: Path, order: Order, bug: str, names: set[str]):
    """By name: at least one of what such a bug must do. Without it the same campaign passes: it is the bug."""
    run, folders = CAMPAIGNS[order.campaign].run, (tmp_path / "planted", tmp_path / "honest")
    for folder in folders:
        folder.mkdir()
    planted, honest = await asyncio.gather(
        run(replace(order, folder=folders[0], bug=bug)), run(replace(order, folder=folders[1]))
    )

    assert names & {words.partition(":")[0] for words in planted.findings}, planted.findings
    assert sum(honest.faults.values()) >= order.faults, honest
    assert honest.findings == []
