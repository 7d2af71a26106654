"""The promises of durability.md, as predicates: of a state, of a step, and of what has to be reachable."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from .rules import Record, replay, requests_of, run_of
from .setup import Setup
from .state import State, bit
from .steps import Step

# --- of a state -----------------------------------------------------------------------------------------------------


def durable(_setup: Setup, state: State) -> bool:
    """Each run that was told as committed is in the history, or its client hears that the session regressed."""
    return all(
        not client.acked or run_of(state.record.journal, request) == client.acked or bool(state.excused & bit(request))
        for request, client in enumerate(state.clients, 1)
    )


def honest_roll_back(_setup: Setup, state: State) -> bool:
    """No run that was told as rolled back is in the history."""
    return not any(state.clients[entry.request - 1].lost & bit(entry.worker) for entry in state.record.journal)


def never_twice_on_our_own(_setup: Setup, state: State) -> bool:
    """A request was started at most as often as its client sent it."""
    return all(client.starts <= client.sent for client in state.clients)


def published_is_current(_setup: Setup, state: State) -> bool:
    """The worker that the record names is the one of its generation and nonce."""
    return state.record.worker in (0, state.record.nonce)


def all_or_nothing(_setup: Setup, state: State) -> bool:
    """The checkpoint has the effects of the history, all of them and no others."""
    return _is_whole(state.record)


def one_chain(_setup: Setup, state: State) -> bool:
    """The etag is the hash over the whole history."""
    return state.record.etag == state.record.journal


def at_most_once(_setup: Setup, state: State) -> bool:
    """An id is in the history at most once."""
    return len(requests_of(state.record.journal)) == len(state.record.journal)


@cache
def _is_whole(record: Record) -> bool:
    return record.state == replay(record.journal)


# --- of a step ------------------------------------------------------------------------------------------------------


def single_history(_setup: Setup, before: State, step: Step, after: State) -> bool:
    """History only grows, unless the store itself went back; and only by runs of the current worker."""
    old, new = before.record.journal, after.record.journal
    if old is new or step.name in ("store_back", "store_crash"):
        return True
    return new[: len(old)] == old and all(entry.worker == before.record.nonce for entry in new[len(old) :])


def not_started_again(_setup: Setup, before: State, step: Step, _after: State) -> bool:
    """No worker starts an id that it ran, and the current one none that the history has."""
    if step.name != "start":
        return True
    is_current = step.who == before.record.nonce
    was_run = step.what in requests_of(before.workers[step.who - 1].chain)
    return not was_run and not (is_current and step.what in requests_of(before.record.journal))


# --- of what has to be reachable ------------------------------------------------------------------------------------


def is_answered(state: State) -> bool:
    """Nobody waits, but for those at a front door that is stopped; when all are stopped there is nobody to answer."""
    if all(front.paused for front in state.fronts):
        return True
    return not (state.orphans or state.excused) and all(
        front.paused or not any(front.waiting) for front in state.fronts
    )


OfState = Callable[[Setup, State], bool]
OfStep = Callable[[Setup, State, Step, State], bool]

OF_STATES: Final[dict[str, OfState]] = {
    "durable": durable,
    "all or nothing": all_or_nothing,
    "at most once": at_most_once,
    "one chain": one_chain,
    "honest roll-back": honest_roll_back,
    "never twice on our own": never_twice_on_our_own,
    "published is current": published_is_current,
}
OF_STEPS: Final[dict[str, OfStep]] = {
    "single history": single_history,
    "not started again": not_started_again,
}
EVERY_REQUEST_ENDS: Final = "every request ends"
NAMES: Final = (*OF_STATES, *OF_STEPS, EVERY_REQUEST_ENDS)


def first_broken(setup: Setup, before: State, step: Step, after: State, *, is_new: bool = True) -> str:
    """The name of a promise that this step breaks, or nothing. A state that is not new was looked at before."""
    for name, holds in OF_STEPS.items():
        if not holds(setup, before, step, after):
            return name
    for name, is_kept in OF_STATES.items() if is_new else ():
        if not is_kept(setup, after):
            return name
    return ""
