"""Runs the tasks of the contestants in turns: whatever drifts meanwhile hits all of them alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadtests.client import RequestFailed
from loadtests.contestants.contestant import TASKS, Contestant, Unavailable
from loadtests.figures import Figure
from loadtests.goals import MEASURES, Results
from loadtests.measuring import Values, Wrong
from loadtests.sizes import Sizes

TASK_TIMEOUT_S: Final = 240.0
"""Of one task of one contestant in one round, with starting and ending its processes."""

Tell = Callable[[str], None]
Running = Coroutine[Any, Any, None]

_FAULTS: Final = (Unavailable, Wrong, RequestFailed, OSError, TimeoutError, ValueError)
"""What leaves one task out and lets the others go on; anything else is a fault of the benchmark itself."""


@dataclass(slots=True)
class Tally:
    """What is known so far."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """Rounds by measure and contestant."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Contestants, or single tasks of theirs, with the reason."""

    def add(self, contestant: str, values: Values) -> None:
        """One round of one task."""
        for measure, value in values.items():
            self.values.setdefault((measure, contestant), []).append(value)

    def results(self) -> Results:
        """Figures by measure and contestant, in the order of the table."""
        found: Results = {}
        for measure in MEASURES:
            for (name, contestant), rounds in self.values.items():
                if name == measure.name:
                    found.setdefault(name, {})[contestant] = Figure(tuple(rounds))
        return found


async def run(
    contestants: Sequence[Contestant], sizes: Sizes, *, rounds: int, only: Sequence[str], tally: Tally, tell: Tell
) -> None:
    """All rounds; `tally` grows as they go, so that an interrupted run has what it measured."""
    present = [contestant for contestant in contestants if await _is_here(contestant, tally, tell)]
    for number in range(rounds):
        for task in tasks_for(only):
            for contestant in in_turn(present, number):
                await _run_task(contestant, task, sizes, tally, _numbered(tell, number + 1))


def _numbered(tell: Tell, number: int) -> Tell:
    return lambda line: tell(f"round {number}: {line}")


async def _is_here(contestant: Contestant, tally: Tally, tell: Tell) -> bool:
    try:
        await contestant.check()
    except Unavailable as error:
        tally.left_out[contestant.name] = str(error)
        tell(f"left out: {contestant.name}: {error}")
        return False
    return True


async def _run_task(contestant: Contestant, task: str, sizes: Sizes, tally: Tally, tell: Tell) -> None:
    name = f"{contestant.name}, {task}"
    if task not in contestant.tasks or name in tally.left_out:
        return
    try:
        async with asyncio.timeout(TASK_TIMEOUT_S):
            values = await contestant.tasks[task](sizes)
    except _FAULTS as error:
        tally.left_out[name] = str(error) or type(error).__name__
        tell(f"left out: {name}: {tally.left_out[name]}")
        return
    tally.add(contestant.name, values)
    tell(f"{name}: " + ", ".join(f"{measure} {value:,.3f}" for measure, value in values.items()))


def in_turn(contestants: Sequence[Contestant], number: int) -> Iterator[Contestant]:
    """Each round begins with the next one."""
    for place in range(len(contestants)):
        yield contestants[(place + number) % len(contestants)]


def tasks_for(only: Sequence[str]) -> list[str]:
    """The tasks that give the measures that were asked for; all of them for none."""
    return [task for task in TASKS if not only or any(_gives(task, wanted) for wanted in only)]


def _gives(task: str, wanted: str) -> bool:
    """`output` wants every task of output; `output.print.growth` the one that measures it."""
    return f"{task}.".startswith(f"{wanted}.") or f"{wanted}.".startswith(f"{task}.")
