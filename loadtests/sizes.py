"""How much of everything one round of the benchmark does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OUTPUT_BYTES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of one round."""

    cold_starts: int = 10
    warm_starts: int = 40
    idle_sessions: int = 10
    round_trips: int = 2000
    slow_round_trips: int = 20
    """Where one takes tens of milliseconds."""
    prints: int = 5
    """Of 10 MB each; their median is the round's value."""
    sessions: int = 50
    evals: int = 300
    """Of each of these sessions."""
    kernels: int = 10
    """Instead of that many sessions, where each is 40 MB."""
    slow_evals: int = 30
    parks: int = 10
    wakes: int = 20
    forks: int = 200
    many_open: int = 10_000
    many_running: int = 500
    many_evals: int = 20
    """Of each session that runs."""
    checkpoints: int = 9
    """Of each namespace and change; their median is the round's value."""


FULL: Final = Sizes()
QUICK: Final = Sizes(
    cold_starts=3, warm_starts=8, idle_sessions=4, round_trips=300, slow_round_trips=5, prints=1, sessions=8, evals=100,
    kernels=3, slow_evals=10, parks=2, wakes=3, forks=20, many_open=80, many_running=8, many_evals=5, checkpoints=2,
)  # fmt: skip
