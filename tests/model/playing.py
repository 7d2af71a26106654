"""A path through the model, step by step as it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .exploring import successors
from .promises import first_broken, is_answered
from .setup import Setup
from .state import State, initial
from .steps import FAIR, WORDS, Step

NOT: Final = "no "
"""A line that begins so names a step that must not be possible there."""


class NotAllowedError(Exception):
    """A line of a script does not fit: the step is unknown, or not possible, or possible and should not be."""


class BrokenPromiseError(Exception):
    """A promise is broken by the last step taken."""


def play(setup: Setup, script: Sequence[str]) -> State:
    """Where a script leads; each line is a step's name and its numbers."""
    state = initial(setup)
    for at, line in enumerate(script, 1):
        wanted = parsed(line.removeprefix(NOT))
        after = _taken(setup, state, wanted)
        if (after is None) is not line.startswith(NOT):
            may = ", ".join(sorted(" ".join(map(str, step)) for step, _ in successors(setup, state)))
            raise NotAllowedError(f"line {at}, {line!r}: what may be done is {may}")
        if after is not None:
            if broken := first_broken(setup, state, wanted, after):
                raise BrokenPromiseError(broken)
            state = after
    return state


def parsed(line: str) -> Step:
    """`dispatch 1 2` is the step `dispatch` of front door 1 for request 2."""
    name, *numbers = line.split()
    if name not in WORDS:
        raise NotAllowedError(f"there is no step {name!r}")
    return Step(name, *map(int, numbers))


def _taken(setup: Setup, state: State, wanted: Step) -> State | None:
    found = [after for step, after in successors(setup, state) if step == wanted]
    assert len(found) <= 1, f"{wanted} means more than one thing"
    return found[0] if found else None


def can_be_answered(setup: Setup, state: State) -> bool:
    """Whether fair steps alone lead to where nobody waits."""
    seen, work = {state}, [state]
    while work:
        state = work.pop()
        if is_answered(state):
            return True
        fresh = {after for step, after in successors(setup, state) if step.name in FAIR} - seen
        seen |= fresh
        work += fresh
    return False
