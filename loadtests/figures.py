"""Samples to figures: percentiles within a round, medians and spreads over rounds. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all samples do not exceed; `ValueError` for none."""
    if not samples:
        raise ValueError("no samples")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one contestant: a value for each round, in the measure's unit."""

    rounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError("a figure has at least one round")

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)

    @property
    def low(self) -> float:
        """The lowest round."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The highest round."""
        return max(self.rounds)


def ratio(figure: Figure, reference: Figure) -> float | None:
    """The median of the ratios round by round, as far as both have rounds; None for a reference of zero.

    Round by round, because the machine's speed drifts from one round to the next and hits both alike.
    """
    pairs = list(zip(figure.rounds, reference.rounds, strict=False))
    if any(base == 0 for _, base in pairs):
        return None
    return statistics.median(value / base for value, base in pairs)


def median_interval(samples: Sequence[float], sure: float) -> tuple[float, float]:
    """Two samples between which the median of what they were drawn from lies, at least as sure as `sure` (0 to 1).

    By ranks alone (the sign test turned round), whatever the distribution; the extremes where there are too few.
    """
    ordered, count = sorted(samples), len(samples)
    if not samples:
        raise ValueError("no samples")
    tail, rank = 0.5**count, 0
    while tail <= (1 - sure) / 2 and rank < count // 2:
        rank += 1
        tail += math.comb(count, rank) * 0.5**count
    return ordered[max(rank - 1, 0)], ordered[count - max(rank, 1)]
