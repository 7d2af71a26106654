"""What is measured, in which unit, and which figure is to be reached. The numbers are the blueprint's, section 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from loadtests import checkpoint_cases
from loadtests.figures import Figure, ratio

BRIDGE: Final = "websockets bridge"
BASCULE_DOCKER: Final = "bascule docker"
BASCULE_BUBBLEWRAP: Final = "bascule bubblewrap"
BARE_DOCKER: Final = "bare docker"
BARE_BUBBLEWRAP: Final = "bare bubblewrap"
DOCKER_EXEC: Final = "docker exec"
JUPYTER: Final = "jupyter gateway"

OURS: Final = (BASCULE_DOCKER, BASCULE_BUBBLEWRAP)
"""The goals hold for these; the others stand beside them."""

Verdict = Literal["met", "missed", ""]


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table."""

    name: str
    title: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    ratio_at_most: float | None = None
    ratio_at_least: float | None = None
    beside: str | None = None
    """Name of the measure that the ratio's reference is taken from; None: this one."""
    references: tuple[tuple[str, str], ...] = ()
    """Contestant and the contestant that it is compared with; without an entry it is the bridge."""
    decimals: int = 2

    def reference_of(self, contestant: str) -> tuple[str, str]:
        """Contestant and measure that this one is divided by."""
        return dict(self.references).get(contestant, BRIDGE), self.beside or self.name

    def goal(self) -> str:
        """In words; empty where there is none."""
        words = [
            f"{sign} {bound:g}{tail}"
            for sign, bound, tail in (
                ("<=", self.at_most, f" {self.unit}"), (">=", self.at_least, f" {self.unit}"),
                ("<=", self.ratio_at_most, " x"), (">=", self.ratio_at_least, " x"),
            )
            if bound is not None
        ]  # fmt: skip
        return " or ".join(words)


_ENGINES: Final = ((BASCULE_DOCKER, BARE_DOCKER), (BASCULE_BUBBLEWRAP, BARE_BUBBLEWRAP))

MEASURES: Final = (
    Measure("start.cold.p50", "session start, no pool, until 1+1: p50", "ms", ratio_at_most=1.3, references=_ENGINES),
    Measure("memory.session", "memory of an idle session, 10 sessions: PSS", "MB", at_most=10),
    Measure("memory.shim", "of that engine's shim, apart: PSS", "MB"),
    Measure("start.warm.p50", "session start from the pool until 1+1: p50", "ms", at_most=3),
    Measure("start.warm.p99", "session start from the pool until 1+1: p99", "ms", at_most=15),
    Measure("round_trip.none.p50", "eval round trip, durability none: p50", "ms", 0.25, ratio_at_most=2.1, decimals=3),
    Measure("round_trip.none.p99", "eval round trip, durability none: p99", "ms", 1, decimals=3),
    Measure(
        "round_trip.commit.p50", "eval round trip, durability commit: p50", "ms", 0.6,
        ratio_at_most=5, beside="round_trip.none.p50", decimals=3,
    ),
    Measure("round_trip.commit.p99", "eval round trip, durability commit: p99", "ms", 3,
            beside="round_trip.none.p99", decimals=3),
    Measure("output.print", "10 MB by one print, streamed", "ms", at_most=80, decimals=0),
    Measure("output.print.growth", "memory that the server's process gains by it", "MB", at_most=4),
    Measure("output.lines", "10 MB as 100-byte lines, streamed", "ms", decimals=0),
    Measure("output.lines.growth", "memory that the server's process gains by it", "MB", at_most=4),
    Measure("throughput.none", "evals/s, many sessions, durability none", "1/s",
            at_least=10_000, ratio_at_least=0.35, decimals=0),
    Measure("throughput.none.client", "CPU of this client for each of these evals", "µs", decimals=0),
    Measure("throughput.none.server", "CPU of the server's process for each of these evals", "µs", decimals=0),
    Measure("throughput.commit", "evals/s, many sessions, durability commit", "1/s",
            at_least=8_000, ratio_at_least=0.28, beside="throughput.none", decimals=0),
    Measure("throughput.commit.client", "CPU of this client for each of these evals", "µs", decimals=0),
    Measure("throughput.commit.server", "CPU of the server's process for each of these evals", "µs", decimals=0),
    Measure("park.mean", "a session is parked, from asking its worker until the store has it: mean", "ms"),
    Measure("wake.small.p50", "a parked session wakes, 10 KB of state, until its result: p50", "ms", at_most=10),
    Measure("wake.large.p50", "a parked session wakes, 10 MB of state, until its result: p50", "ms", at_most=80),
    Measure("fork.p50", "fork, 10 KB of state: p50", "ms", at_most=15),
    Measure("many.evals", "10,000 sessions open, 500 of them run: evals/s of these", "1/s", decimals=0),
    Measure("many.worker", "memory of each that runs: PSS", "MB", at_most=10),
    Measure("many.server", "memory of the server's process then: PSS", "MB", decimals=0),
    Measure("many.redis", "memory that Redis uses then", "MB", decimals=0),
    Measure("many.wake.p50", "one more wakes, the longest idle is parked, a worker is started: p50", "ms", decimals=0),
    *(Measure(name, title, unit, at_most=checkpoint_cases.GOALS.get(name))
      for name, title, unit in checkpoint_cases.measures()),
)  # fmt: skip

BY_NAME: Final = {measure.name: measure for measure in MEASURES}

Results = dict[str, dict[str, Figure]]
"""Figures by measure and contestant."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure with its goal beside it."""

    measure: Measure
    contestant: str
    figure: Figure
    reference: str
    ratio: float | None
    verdict: Verdict


def rows(results: Results) -> list[Row]:
    """All figures in the order of the table."""
    found = []
    for measure in MEASURES:
        for contestant, figure in results.get(measure.name, {}).items():
            reference, beside = measure.reference_of(contestant)
            base = results.get(beside, {}).get(reference)
            factor = None if base is None or contestant == reference else ratio(figure, base)
            verdict = judge(measure, figure.median, factor) if contestant in OURS else ""
            found.append(Row(measure, contestant, figure, reference, factor, verdict))
    return found


def judge(measure: Measure, value: float, factor: float | None) -> Verdict:
    """Whether the goal is met. Where a goal has a ratio and the ratio is known, the ratio counts: machines drift."""
    bounds = (factor, measure.ratio_at_most, measure.ratio_at_least)
    if factor is None or (measure.ratio_at_most is None and measure.ratio_at_least is None):
        bounds = (value, measure.at_most, measure.at_least)
    measured, at_most, at_least = bounds
    if measured is None or (at_most is None and at_least is None):
        return ""
    within = (at_most is None or measured <= at_most) and (at_least is None or measured >= at_least)
    return "met" if within else "missed"
