"""Bursts of the same work for two servers in turns, and what their ratios say. The judgement is pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from loadtests.client import ReplClient
from loadtests.contestants.bascule import Server
from loadtests.figures import median_interval
from loadtests.measuring import Values, round_trips, throughput
from loadtests.processes import cpu_s, descendants

SESSIONS: Final = 20
EVALS: Final = 20
"""Of each session in one burst."""
ROUND_TRIPS: Final = 150
"""In one burst."""
WARM_UP: Final = 2
"""Turns that don't count."""
SURE: Final = 0.95
"""How sure an interval is."""

RATES: Final = frozenset({"throughput.none", "throughput.commit"})
"""The measures of which more is better."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, with its sessions open."""

    server: Server
    clients: list[ReplClient]
    workers: set[int]
    """Process ids."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """One measure of two servers: a value for each turn, in the measure's unit."""

    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of after/before, turn by turn."""
        return statistics.median(after / before for before, after in zip(self.before, self.after, strict=True))


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure of both versions, over several starts of their servers.

    A process is a few per cent faster or slower than the next of the same program, for all its life (where its memory
    lies, how its hashes fall): turns of one pair of processes say nothing sure about the programs.
    """

    measure: str
    starts: tuple[Pairs, ...]

    @property
    def ratio(self) -> float:
        """The median of the starts' ratios."""
        return statistics.median(pairs.ratio for pairs in self.starts)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which two values the true median of the ratios lies, as sure as `SURE`."""
        return median_interval([pairs.ratio for pairs in self.starts], SURE)

    @property
    def verdict(self) -> str:
        """`slower` or `faster` where the whole interval says so, else `no difference`."""
        low, high = self.interval
        if low <= 1 <= high:
            return "no difference"
        more_is_better = self.measure in RATES
        return "faster" if (low > 1) == more_is_better else "slower"

    def line(self) -> str:
        """For a reader."""
        before, after = (
            statistics.median(statistics.median(values) for values in side)
            for side in ((pairs.before for pairs in self.starts), (pairs.after for pairs in self.starts))
        )
        low, high = self.interval
        return (
            f"{self.measure:<26}{before:>10,.3f}{after:>10,.3f}{self.ratio:>9.3f}   [{low:.3f} - {high:.3f}]"
            f"   {self.verdict}"
        )


HEADING: Final = f"{'measure':<26}{'before':>10}{'after':>10}{'ratio':>9}   [{SURE:.0%} sure]"


async def compare(before: Server, after: Server, durability: str, turns: int) -> dict[str, Pairs]:
    """The hot path with that durability: round trips, evals a second, CPU of server and workers for each eval."""
    async with AsyncExitStack() as opened:
        both = [await _opened(server, durability, opened) for server in (before, after)]
        await _rounds(both, durability, WARM_UP)
        values = await _rounds(both, durability, turns)
    return {measure: _pairs(measure, values) for measure in values[0][0] if not measure.endswith((".p99", ".client"))}


async def _opened(server: Server, durability: str, opened: AsyncExitStack) -> Side:
    clients = [await opened.enter_async_context(server.session(durability)) for _ in range(SESSIONS)]
    for client in clients:
        await client.eval("1")  # a worker is taken when there is something to do
    return Side(server, clients, descendants(server.pid))


async def _rounds(both: Sequence[Side], durability: str, turns: int) -> list[list[Values]]:
    """For each turn the values of both, whichever began."""
    rounds = []
    for turn in range(turns):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        found = {place: await _burst(both[place], durability) for place in order}
        rounds.append([found[0], found[1]])
    return rounds


async def _burst(side: Side, durability: str) -> Values:
    measure = f"throughput.{durability}"
    found = await round_trips(side.clients[0], f"round_trip.{durability}", ROUND_TRIPS)
    workers_s = sum(map(cpu_s, side.workers))
    found |= await throughput(side.clients, measure, side.server.pid, EVALS)
    workers_s = sum(map(cpu_s, side.workers)) - workers_s
    return found | {f"{measure}.workers": workers_s / (SESSIONS * EVALS) * 1e6}


def _pairs(measure: str, values: list[list[Values]]) -> Pairs:
    before, after = (tuple(turn[which][measure] for turn in values) for which in (0, 1))
    return Pairs(before, after)
