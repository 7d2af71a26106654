"""Two versions in turns: what their ratios say, and the files of a revision."""

import argparse
import subprocess
from pathlib import Path

import pytest

from loadtests import services
from loadtests.contestants.contestant import Unavailable
from loadtests.figures import median_interval
from loadtests.versions.__main__ import STARTS_MIN, _starts
from loadtests.versions.tree import unpack
from loadtests.versions.turns import RATES, SURE, Compared, Pairs


def compared(measure, *ratios):
    """Starts with these ratios, in three turns each, of which one is far off."""
    return Compared(measure, tuple(Pairs((2.0, 2.0, 2.0), (2 * ratio, 2 * ratio, 90.0)) for ratio in ratios))


@pytest.mark.parametrize(
    ("count", "places"),
    # Ranks of the sign test, as tables of it have them.
    [(6, (0, 5)), (8, (0, 7)), (9, (1, 7)), (12, (2, 9)), (20, (5, 14)), (40, (13, 26)), (100, (39, 60))],
)
def test_an_interval_of_the_median_goes_by_ranks(count, places):
    """Whatever the order."""
    samples = [float(number) for number in range(count)]
    assert median_interval(samples[::-1], SURE) == places


def test_too_few_are_told_apart_by_nothing_but_their_extremes():
    """And none have no median."""
    assert median_interval([3.0, 1.0, 2.0], SURE) == (1.0, 3.0)
    with pytest.raises(ValueError, match="no samples"):
        median_interval([], SURE)


def test_one_turn_that_was_disturbed_changes_nothing():
    """The median of the turns, then of the starts."""
    assert compared("round_trip.none.p50", 1.1, 1.3, 1.2).ratio == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("measure", "ratios", "verdict"),
    [
        ("round_trip.none.p50", (1.1,) * 6, "slower"),
        ("round_trip.none.p50", (0.9,) * 6, "faster"),
        ("throughput.commit", (1.1,) * 6, "faster"),
        ("throughput.commit", (0.9,) * 6, "slower"),
        ("throughput.commit.server", (1.1,) * 6, "slower"),
        ("throughput.commit", (0.9, 0.9, 0.9, 0.9, 0.9, 1.01), "no difference"),
    ],
)
def test_a_verdict_needs_the_whole_interval(measure, ratios, verdict):
    """Of a rate more is better, of time less."""
    found = compared(measure, *ratios)
    assert found.verdict == verdict
    assert found.line().endswith(verdict)


def test_what_is_a_rate_is_measured_in_evals_a_second():
    """By the names that the bursts give their values."""
    assert {f"throughput.{durability}" for durability in ("none", "commit")} == RATES


def test_fewer_starts_than_an_interval_needs_are_refused():
    """Six heads in a row are rarer than one in twenty, both ways together; five are not."""
    assert _starts(str(STARTS_MIN)) == STARTS_MIN
    with pytest.raises(argparse.ArgumentTypeError, match=f"at least {STARTS_MIN}"):
        _starts(str(STARTS_MIN - 1))
    assert 2 * 0.5**STARTS_MIN <= 1 - SURE < 2 * 0.5 ** (STARTS_MIN - 1)


@pytest.fixture
def repository(tmp_path):
    """One commit, and a change since then."""
    place = tmp_path / "repository"
    commands = (
        ["init", "--quiet", "."], ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "--message", "first"],
    )  # fmt: skip
    package = place / "orchestrator" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("FIRST = 1\n")
    for words in commands:
        subprocess.run(["git", "-C", str(place), *words], check=True)
    package.write_text("SECOND = 2\n")
    return place


async def test_the_files_of_a_revision_are_laid_out(repository, tmp_path):
    """As they were committed, and found before those that are at work."""
    tree = await unpack("HEAD", tmp_path, repository=repository)
    first, *_ = services.python_path(tree).split(":")
    assert (Path(first) / "orchestrator" / "__init__.py").read_text() == "FIRST = 1\n"


async def test_a_revision_that_git_does_not_know_is_said(repository, tmp_path):
    """In git's words."""
    with pytest.raises(Unavailable, match="no-such-revision"):
        await unpack("no-such-revision", tmp_path, repository=repository)
