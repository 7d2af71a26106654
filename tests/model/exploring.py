"""Breadth first through every state that can be reached: the first broken promise has the shortest trace."""

from __future__ import annotations

import gc
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final, NamedTuple

from . import agent, clients, committing, faults, replacing
from .edges import Edges
from .promises import EVERY_REQUEST_ENDS, first_broken, is_answered
from .setup import Setup
from .state import State, initial
from .steps import FAIR, Moves, Step, in_words

STATES_MAX: Final = 30_000_000
"""More are not looked at: a state costs about 250 bytes of memory."""

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
    taken: Mapping[str, int]
    """How often each step was taken, by its name."""
    is_complete: bool
    """False when a broken promise or the limit on states ended it."""
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
    """Short keys of states: each part is numbered once (the collapse compression of the SPIN model checker), so that no
    two states share one."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def of(self, state: State) -> bytes:
        """Its key; equal for equal states only."""
        numbers = self._numbers
        parts = (state.record, state.workers, *state.fronts, state.clients, state[4:])
        return array("I", [numbers.setdefault(part, len(numbers)) for part in parts]).tobytes()


class Exploration:
    """One run. States are numbered as they are found; of those behind the frontier only key and parent are kept."""

    def __init__(self, setup: Setup, progress: Progress | None, states_max: int) -> None:
        self._setup = setup
        self._states_max = states_max
        self._progress = progress
        self._keys = Keys()
        self._found: dict[bytes, int] = {}
        self._parents = array("I")
        self._answered = bytearray()
        self._fair = Edges()
        self._taken: Counter[str] = Counter()
        self._depth = 0
        self._violation: Violation | None = None

    def run(self) -> Report:
        """Until there is no new state, or a promise is broken."""
        gc.disable()  # nothing here makes cycles, and millions of tuples would be searched for them again and again
        try:
            return self._run()
        finally:
            gc.enable()

    def _run(self) -> Report:
        began, first = time.perf_counter(), initial(self._setup)
        self._take(first, 0)
        level = [(0, first)]
        while level and self._violation is None and len(self._parents) <= self._states_max:
            if self._progress is not None:
                self._progress(self._depth, len(self._parents), len(level))
            level = self._next_level(level)
            self._depth += bool(level)
        is_complete = not level and self._violation is None
        if is_complete:
            self._look_for_stuck()
        return Report(
            states=len(self._parents),
            transitions=self._taken.total(),
            depth=self._depth,
            seconds=time.perf_counter() - began,
            taken=self._taken,
            is_complete=is_complete,
            violation=self._violation,
        )

    def _next_level(self, level: list[tuple[int, State]]) -> list[tuple[int, State]]:
        found: list[tuple[int, State]] = []
        for number, state in level:
            for step, after in successors(self._setup, state):
                self._taken[step.name] += 1
                after_number, is_new = self._take(after, number)
                if is_new:
                    found.append((after_number, after))
                if step.name in FAIR and not self._answered[number]:
                    self._fair.add(number, after_number)
                broken = first_broken(self._setup, state, step, after, is_new=is_new)
                if broken:
                    self._violation = Violation(broken, (*self._walk(number)[0], step))
                    return []
        return found

    def _take(self, state: State, parent: int) -> tuple[int, bool]:
        """Its number, and whether it is new."""
        fresh = len(self._parents)
        number = self._found.setdefault(self._keys.of(state), fresh)
        if number == fresh:
            self._parents.append(parent)
            self._answered.append(is_answered(state))
        return number, number == fresh

    def _look_for_stuck(self) -> None:
        """From every state, fair steps alone have to lead to one where everybody is answered."""
        stuck = self._fair.cannot_reach(self._answered)
        if stuck is not None:
            steps, state = self._walk(stuck)
            self._violation = Violation(EVERY_REQUEST_ENDS, (*steps, *self._until_still(stuck, state)))

    def _until_still(self, number: int, state: State) -> tuple[Step, ...]:
        """Fair steps on from a stuck state, until they lead nowhere new: what happens, and does not help."""
        steps: list[Step] = []
        seen = {number}
        while True:
            for step, after in successors(self._setup, state):
                found = self._found[self._keys.of(after)]
                if step.name in FAIR and found not in seen:
                    break
            else:
                return tuple(steps)
            seen.add(found)
            steps.append(step)
            state = after

    def _walk(self, number: int) -> tuple[tuple[Step, ...], State]:
        """The steps from the first state to this one: the numbers are known, the steps are found by taking them."""
        path = [number]
        while path[-1]:
            path.append(self._parents[path[-1]])
        state, steps = initial(self._setup), []
        for wanted in reversed(path[:-1]):
            step, state = next(
                move for move in successors(self._setup, state) if self._found.get(self._keys.of(move[1])) == wanted
            )
            steps.append(step)
        return tuple(steps), state


def explore(setup: Setup, progress: Progress | None = None, states_max: int = STATES_MAX) -> Report:
    """Every state of a setup, or the shortest way to a broken promise."""
    return Exploration(setup, progress, states_max).run()
