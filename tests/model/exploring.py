"""Breadth first through every state that can be reached: the first broken promise has the shortest trace."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from . import agent, clients, committing, faults, replacing
from .promises import EVERY_REQUEST_ENDS, OF_STATES, OF_STEPS, is_answered
from .setup import Setup
from .state import State, initial
from .steps import FAIR, Moves, Step, in_words

Progress = Callable[[int, int, int], None]
"""Told after each level: depth, states, states of that level."""


class Violation(NamedTuple):
    """A promise that does not hold, and the shortest way there."""

    promise: str
    trace: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [f"broken: {self.promise}", *(f"{at:3}. {in_words(step)}" for at, step in enumerate(self.trace, 1))]
        return "\n".join(lines)


class Report(NamedTuple):
    """What an exploration found."""

    states: int
    transitions: int
    depth: int
    seconds: float
    violation: Violation | None


def successors(setup: Setup, state: State) -> Moves:
    """Every step that may be taken, with where it leads."""
    return chain(
        clients.moves(setup, state),
        agent.moves(setup, state),
        committing.moves(setup, state),
        replacing.moves(setup, state),
        faults.moves(setup, state),
    )


class Keys:
    """Short keys of states: each part is numbered once (SPIN's collapse compression), so that no two states share one."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def of(self, state: State) -> bytes:
        """Its key; equal for equal states only."""
        numbers = self._numbers
        parts = (state.record, state.workers, *state.fronts, state.clients, state[4:])
        return array("I", [numbers.setdefault(part, len(numbers)) for part in parts]).tobytes()


class Exploration:
    """One run. States are numbered as they are found; of those behind the frontier only number and parent are kept."""

    def __init__(self, setup: Setup, progress: Progress | None = None) -> None:
        self._setup = setup
        self._progress = progress
        self._keys = Keys()
        self._found: dict[bytes, int] = {}
        self._parents = array("I")
        self._fair_from, self._fair_to = array("I"), array("I")
        self._answered = bytearray()
        self._transitions = 0
        self._depth = 0
        self._violation: Violation | None = None

    def run(self) -> Report:
        """Until there is no new state, or a promise is broken."""
        began, first = time.perf_counter(), initial(self._setup)
        level = list(self._take(first, 0))
        while level and self._violation is None:
            if self._progress is not None:
                self._progress(self._depth, len(self._parents), len(level))
            level = self._next_level(level)
            self._depth += bool(level)
        if self._violation is None:
            self._look_for_stuck()
        seconds = time.perf_counter() - began
        return Report(len(self._parents), self._transitions, self._depth, seconds, self._violation)

    def _next_level(self, level: list[tuple[int, State]]) -> list[tuple[int, State]]:
        found: list[tuple[int, State]] = []
        for number, state in level:
            for step, after in successors(self._setup, state):
                self._transitions += 1
                fresh = list(self._take(after, number))
                found += fresh
                if step.name in FAIR:
                    self._fair_from.append(number)
                    self._fair_to.append(self._found[self._keys.of(after)])
                broken = self._broken(state, step, after, bool(fresh))
                if broken:
                    self._violation = Violation(broken, (*self._trace(number), step))
                    return []
        return found

    def _take(self, state: State, parent: int) -> Iterator[tuple[int, State]]:
        """Number it, if it is new."""
        number = len(self._parents)
        if self._found.setdefault(self._keys.of(state), number) == number:
            self._parents.append(parent)
            self._answered.append(is_answered(state))
            yield number, state

    def _broken(self, before: State, step: Step, after: State, is_new: bool) -> str:
        for name, holds in OF_STEPS.items():
            if not holds(self._setup, before, step, after):
                return name
        for name, is_kept in OF_STATES.items() if is_new else ():
            if not is_kept(self._setup, after):
                return name
        return ""

    def _look_for_stuck(self) -> None:
        """Backwards along fair steps from where everybody is answered: whatever is not met is stuck."""
        reached = bytearray(self._answered)
        into: dict[int, list[int]] = {}
        for source, target in zip(self._fair_from, self._fair_to, strict=True):
            into.setdefault(target, []).append(source)
        work = [number for number, is_good in enumerate(reached) if is_good]
        while work:
            for source in into.get(work.pop(), ()):
                if not reached[source]:
                    reached[source] = True
                    work.append(source)
        stuck = reached.find(0)
        if stuck >= 0:
            self._violation = Violation(EVERY_REQUEST_ENDS, self._trace(stuck))

    def _trace(self, number: int) -> tuple[Step, ...]:
        """From the first state to this one: known by their numbers, their steps are found by walking again."""
        path = [number]
        while path[-1]:
            path.append(self._parents[path[-1]])
        state, steps = initial(self._setup), []
        for wanted in reversed(path[:-1]):
            step, state = next(
                move for move in successors(self._setup, state) if self._found.get(self._keys.of(move[1])) == wanted
            )
            steps.append(step)
        return tuple(steps)


def explore(setup: Setup, progress: Progress | None = None) -> Report:
    """Every state of a setup, or the shortest way to a broken promise."""
    return Exploration(setup, progress).run()
