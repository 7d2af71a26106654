"""The campaigns by name: how many faults each has in a test run and in a long one, and how it is cut in pieces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from durability.scenes.cuts import cut
from durability.scenes.drains import drain
from durability.scenes.kills import doors, mixed, redis, workers
from durability.scenes.networks import network
from durability.scenes.pauses import paused
from durability.scenes.scene import Figures, Order


class Lane(NamedTuple):
    """What a piece runs on: workers that end with their server or outlive it, and so many front doors on one Redis."""

    runtime: str
    doors: int


ALONE: Final = Lane("bubblewrap", 1)
OUTLIVED: Final = Lane("docker", 1)
TWO: Final = Lane("docker", 2)
TWO_ALONE: Final = Lane("bubblewrap", 2)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One row. A piece is a ground, a history and a judgement of its own; pieces take the lanes in turn, by seed."""

    name: str
    words: str
    in_ci: int
    long_run: int
    piece: int
    """Faults, or seconds, of one piece."""
    run: Callable[[Order], Awaitable[Figures]]
    lanes: tuple[Lane, ...]
    unit: str = "faults"

    def pieces(self, seed: int, faults: int, folder: Path, *, runtime: str = "", doors: int = 0) -> Iterator[Order]:
        """Orders for so many faults; the first has the seed, each next one the next seed."""
        for number in range(-(-faults // self.piece)):
            lane = self.lanes[(seed + number) % len(self.lanes)]
            yield Order(
                self.name, seed + number, min(self.piece, faults - number * self.piece), folder,
                runtime or lane.runtime, doors or lane.doors, by_time=self.unit == "seconds",
            )  # fmt: skip


CAMPAIGNS: Final = {
    row.name: row
    for row in (
        Campaign("workers", "a worker killed with -9 at a random moment", 100, 3000, 25, workers,
                 (ALONE, OUTLIVED, ALONE, TWO)),
        Campaign("doors", "a front door killed with -9, at random and at marked points", 60, 1500, 15, doors,
                 (OUTLIVED, TWO, ALONE, TWO_ALONE)),
        Campaign("redis", "Redis killed with -9", 40, 1000, 20, redis, (ALONE, TWO)),
        Campaign("mixed", "all three, 3 clients, 20 sessions", 120, 1800, 120, mixed, (TWO, ALONE, OUTLIVED),
                 unit="seconds"),
        Campaign("paused", "a front door stopped longer than any time-out, then woken", 20, 500, 10, paused,
                 (TWO, OUTLIVED)),
        Campaign("cut", "the append-only file cut at a random byte", 40, 2000, 40, cut,
                 (ALONE, TWO, OUTLIVED)),
        Campaign("network", "the network cut, delayed, reset, silent or cutting frames", 40, 1000, 20, network,
                 (ALONE, TWO)),
        Campaign("drain", "a rolling restart of two front doors under load", 5, 200, 5, drain, (TWO,)),
    )
}  # fmt: skip
"""In the order of the table of docs/specification.md."""
