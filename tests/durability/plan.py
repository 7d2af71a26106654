"""What a faulty server does at its marked points: `before-commit=kill#3, after-raise=stop#1, after-commit=sleep:200#2`.

Each part names a point of `orchestrator.faults`, an action, and the how-manieth passing of the point it is done at, so
that a plan is the same plan every time. Actions: `kill` (as `kill -9`), `stop` (as `kill -STOP`), `sleep:MS`.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from orchestrator.faults import POINTS

_PART: Final = re.compile(r"([a-z-]+)=(kill|stop|sleep):?(\d*)#([1-9]\d*)")


class PlanError(ValueError):
    """A text that is no plan."""


class Step(NamedTuple):
    """One part."""

    action: str
    sleep_ms: int

    def do(self) -> None:
        """To this process, now."""
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            time.sleep(self.sleep_ms / 1000)


def read_plan(text: str) -> dict[tuple[str, int], Step]:
    """Steps by point and passing; raises `PlanError`."""
    found: dict[tuple[str, int], Step] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PART.fullmatch(part)
        if match is None or match[1] not in POINTS or (match[2] == "sleep") != bool(match[3]):
            raise PlanError(f"{part!r} is no part of a plan; points are {', '.join(POINTS)}")
        found[match[1], int(match[4])] = Step(match[2], int(match[3] or 0))
    return found


def marker(text: str) -> Callable[[str], None]:
    """A hook for `orchestrator.faults.install` that carries the plan out; raises `PlanError`."""
    steps, passed = read_plan(text), Counter[str]()

    def mark(point: str) -> None:
        passed[point] += 1
        step = steps.get((point, passed[point]))
        if step is not None:
            step.do()

    return mark


def draw_plan(random: Random, action: str, points: tuple[str, ...] = POINTS, *, passing_max: int = 12) -> str:
    """One step, at a point and a passing drawn from `random`."""
    point = random.choice(points)
    often = passing_max if point not in RARE else 2
    return f"{point}={action}#{random.randint(1, often)}"


RARE: Final = ("before-raise", "after-raise", "before-publish", "after-publish")
"""Points that are passed only when a session gets a worker."""
