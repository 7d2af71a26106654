"""What the benchmark knows of a contestant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from loadtests.measuring import Values
from loadtests.sizes import Sizes

Task = Callable[[Sizes], Awaitable[Values]]
"""Starts what it needs, measures, ends what it started; raises whatever goes wrong."""

TASKS: Final = (
    "start.cold", "start.warm", "memory", "round_trip.none", "round_trip.commit", "output.print", "output.lines",
    "throughput.none", "throughput.commit", "park", "wake.small", "wake.large", "fork", "checkpoint", "many",
)  # fmt: skip
"""In the order they run: each is the beginning of its measures' names."""


class Unavailable(Exception):
    """This contestant can't be measured here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of those that are measured."""

    name: str
    check: Callable[[], Awaitable[None]]
    """Raises `Unavailable`."""
    tasks: Mapping[str, Task]
    """By the names above; what it can't do is missing."""
