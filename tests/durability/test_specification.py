"""The page of promises says what the programs do: counts of campaigns, and the settings behind the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from durability.checker import RULES
from durability.results import rule_of_three
from durability.table import CAMPAIGNS
from orchestrator.engine.configuration import EngineConfig
from orchestrator.settings import Settings
from orchestrator.stores.limits import StoreLimits

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "specification.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to/prove-that-it-holds.md").read_text(encoding="utf-8")


def _count(number: int, unit: str) -> str:
    return f"{number // 60} min" if unit == "seconds" else f"{number:,}"


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_the_table_of_campaigns_has_their_counts(name: str):
    """Name, words, in CI, long run."""
    row = CAMPAIGNS[name]
    cells = f"| `{name}`: {row.words} | {_count(row.in_ci, row.unit)} | {_count(row.long_run, row.unit)} |"

    assert cells in PAGE


def test_what_was_seen_adds_up():
    """The figure of each row that found nothing is what the rule of three makes of its faults."""
    rows = re.findall(r"^\| (\w+) \| ([\d,]+)[^|]* \| ([^|]+) \| [\d,]+ \| (\d+) \| ([^|]*) \|", PAGE, re.MULTILINE)
    assert {name for name, *_ in rows} == set(CAMPAIGNS)
    for name, _, done, found, sure in rows:
        faults = sum(int(number) for number in re.findall(r" (\d+)(?:,|$)", done))
        assert sure.strip() == rule_of_three(faults, int(found)), name


def test_the_numbers_are_those_of_the_settings():
    """Each is in its line of the page."""
    engine, store = EngineConfig(), StoreLimits()

    assert f"{engine.commit_wait_ms // 1000} s (`engine.commit_wait_ms`)" in PAGE
    assert f"{engine.handover_ms // 1000} s (`engine.handover_ms`)" in PAGE
    assert f"{engine.worker_lost_ms // 1000} s (`engine.worker_lost_ms`)" in PAGE
    assert f"{engine.replace_deadline_s:g} s (`engine.replace_deadline_s`)" in PAGE
    assert f"{Settings.model_fields['drain_timeout_s'].default:g} s (`drain_timeout_s`)" in PAGE
    ids = (
        f"the last {store.ids_kept:,} of a session, "
        f"and {store.ids_kept_s / 3600:g} h, among its last {store.journal_kept:,}"
    )
    assert ids in PAGE


def test_the_how_to_explains_every_finding():
    """Every name that a rule or a scene gives to what it finds."""
    sources = [*Path(__file__).parent.glob("rules/*.py"), *Path(__file__).parent.glob("scenes/*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in (*sources, Path(__file__).parent / "driving.py"))
    named = set(re.findall(r'Finding\("(\w+)"', text)) | set(re.findall(r'f"(\w+): \{', text))

    assert len(named) > len(RULES)
    assert {name for name in named if f"`{name}`" not in HOW_TO} == set()
