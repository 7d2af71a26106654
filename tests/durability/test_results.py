"""What runs add to a file of results adds up, and a run goes on where the file ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from durability import results
from durability.campaign import main
from durability.table import CAMPAIGNS

SOURCES = Path(__file__).parents[2]


def _line(campaign: str, seed: int, faults: dict[str, int], **more: Any) -> results.Line:
    line = {
        "date": "2026-01-02", "commit": "abc", "campaign": campaign, "seed": seed, "ordered": 25, "runtime": "docker",
        "doors": 1, "faults": faults, "operations": 50, "acknowledged": 40, "found": 0, "findings": [],
        "seconds": 9.0, "reconnect_s": [],
    }  # fmt: skip
    return {**line, **more}


LINES = [
    _line("workers", 1, {"worker": 20, "worker, commit on its way": 5}),
    _line("workers", 2, {"worker": 25}, date="2026-01-05", takeovers=3),
    _line("workers", 4, {"worker": 10}, commit="def"),
    _line("mixed", 7, {"worker": 60, "Redis": 9}, ordered=120, reconnect_s=[0.5] * 99 + [9.0]),
    _line("drain", 1, {"rolling restart": 5}, found=1, findings=["lost: s0: c0-1"]),
    _line("doors", 1, {}, operations=0, acknowledged=0, found=1, findings=["broken: no server"]),
]


def test_lines_add_up(tmp_path: Path):
    """Faults that were done count, not those that were ordered; a piece that broke counts for nothing."""
    results.add(tmp_path / "results", LINES[:3])
    results.add(tmp_path / "results", LINES[3:])
    lines = results.read(tmp_path / "results")

    assert lines == LINES
    assert {name: results.seen(lines, name) for name in ("workers", "mixed", "doors", "redis")} == {
        "workers": 60, "mixed": 120, "doors": 0, "redis": 0,
    }  # fmt: skip
    assert {name: results.next_seed(lines, name) for name in ("workers", "mixed", "redis")} == {
        "workers": 5, "mixed": 8, "redis": 1,
    }  # fmt: skip


def test_the_table_shows_seeds_dates_and_the_rule_of_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What was found takes the place of what could be said of nothing found."""
    results.add(tmp_path / "results", LINES)
    assert main(["--sum", str(tmp_path / "results")]) == 0
    table = capsys.readouterr().out

    assert (
        "| workers | 60 | worker 55, worker, commit on its way 5, (3 takeovers) | 120 | 0 | < 5 % a fault |  | 1–2, 4 "
        "| 2026-01-02 to 2026-01-05 | abc, def |"
    ) in table
    assert "| mixed | 120 s | Redis 9, worker 60 | 40 | 0 | < 4.3 % a fault | 0.50 s | 7 |" in table
    assert "| drain | 5 | rolling restart 5 | 40 | 1 |  |  | 1 |" in table


def test_pieces_have_seeds_of_their_own_and_add_up_to_what_was_ordered(tmp_path: Path):
    """The last one is smaller; each can be ordered again alone."""
    orders = list(CAMPAIGNS["workers"].pieces(7, 60, tmp_path))

    assert [(order.seed, order.faults) for order in orders] == [(7, 25), (8, 25), (9, 10)]
    assert {order.runtime for order in orders} == {"bubblewrap", "docker"} and orders[0].doors == 2
    again = list(CAMPAIGNS["workers"].pieces(8, 25, tmp_path))
    assert again == orders[1:2]


def test_the_program_lists_its_campaigns_and_wants_to_know_which():
    """From the folder of the sources, without any setting."""
    words = [sys.executable, "-m", "tests.durability.campaign"]
    listed = subprocess.run([*words, "--list"], capture_output=True, text=True, cwd=SOURCES, timeout=60)
    wrong = subprocess.run(words, capture_output=True, text=True, cwd=SOURCES, timeout=60)

    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(CAMPAIGNS)
    assert wrong.returncode == 2 and "say which campaign" in wrong.stderr
