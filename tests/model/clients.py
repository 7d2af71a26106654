"""The clients: what they send, and what they are told."""

from __future__ import annotations

from .rules import run_of
from .setup import Setup
from .state import FRONTS, Front, State, Waits, bit, linked, put, with_front
from .steps import Moves, Step


def moves(setup: Setup, state: State) -> Moves:
    """What clients may do next."""
    for number in FRONTS:
        if not state.fronts[number - 1].paused:
            yield from _sent(setup, state, number)
    for request in setup.requests:
        if state.excused & bit(request):
            yield Step("tell_regressed", what=request), _told_regressed(state, request)


def _sent(setup: Setup, state: State, number: int) -> Moves:
    for request in setup.requests:
        if state.orphans & bit(request):
            yield Step("reconnect", number, request), _arrived(state, number, request)
        elif _may_send(setup, state, number, request):
            yield Step("submit", number, request), _arrived(state, number, request)


def _may_send(setup: Setup, state: State, number: int, request: int) -> bool:
    sent = state.clients[request - 1].sent
    if sent:
        return sent < setup.attempts and not state.fronts[number - 1].waiting[request - 1]
    # Front doors are alike, and so are evals: of runs that differ in their numbers only, one is explored.
    if number > 1 and not any(client.sent for client in state.clients):
        return False
    return bool(setup.heavy) or request in (1, setup.rewind_request) or state.clients[request - 2].sent > 0


def _arrived(state: State, number: int, request: int) -> State:
    client = state.clients[request - 1]
    state = state._replace(
        orphans=state.orphans & ~bit(request),
        clients=put(state.clients, request, client._replace(sent=client.sent + 1)),
    )
    front = state.fronts[number - 1]
    if front.waiting[request - 1]:
        return state
    return with_front(state, number, front._replace(waiting=put(front.waiting, request, Waits.UNDISPATCHED)))


def _told_regressed(state: State, request: int) -> State:
    client = state.clients[request - 1]._replace(acked=0, regressed=True)
    return state._replace(clients=put(state.clients, request, client), excused=state.excused & ~bit(request))


def acknowledge(state: State, number: int, request: int, run: int) -> State:
    """Front door `number` tells that a run of the request is committed, if somebody waits for it there."""
    if not state.fronts[number - 1].waiting[request - 1]:
        return state
    client = state.clients[request - 1]._replace(acked=run)
    return end(state._replace(clients=put(state.clients, request, client)), number, request)


def roll_back(state: State, number: int, request: int) -> State:
    """Front door `number` tells that what it dispatched to its linked worker did not happen."""
    front, client = state.fronts[number - 1], state.clients[request - 1]
    client = client._replace(lost=client.lost | bit(front.link))
    return end(state._replace(clients=put(state.clients, request, client)), number, request)


def end(state: State, number: int, request: int) -> State:
    """The request is answered at this front door, whatever the answer is."""
    front = state.fronts[number - 1]
    front = front._replace(waiting=put(front.waiting, request, Waits.NOT), heard=front.heard & ~bit(request))
    return with_front(state._replace(orphans=state.orphans & ~bit(request)), number, front)


def unlinked(front: Front) -> Front:
    """A front door that forgot its worker, and what that one handed over."""
    return front._replace(link=0, base=0, got=0, held=0, reply=None, confirm=0, heard=0, suspects=False)


def settled(
    state: State, number: int, *, is_blind: bool = False, is_sure: bool = True, takes_back: bool = False
) -> State:
    """The generation of the linked worker is over: each dispatched request is answered as the record says, which is
    final. A blind front door does not look; one that is not sure promises nothing of what it finds; one that takes back
    will dispatch again what it does not find."""
    journal = state.record.journal
    for request, waits in enumerate(state.fronts[number - 1].waiting, 1):
        if waits == Waits.DISPATCHED:
            run = 0 if is_blind else run_of(journal, request)
            if not run and takes_back:
                state = _taken_back(state, number, request)
            elif not run:
                state = roll_back(state, number, request)
            else:
                state = acknowledge(state, number, request, run) if is_sure else end(state, number, request)
    return with_front(state, number, unlinked(state.fronts[number - 1]))


def _taken_back(state: State, number: int, request: int) -> State:
    front = state.fronts[number - 1]
    return with_front(state, number, front._replace(waiting=put(front.waiting, request, Waits.UNDISPATCHED)))


def is_parked(state: State, front: Front) -> bool:
    """Whether the record shows that the linked worker was parked, and no more since."""
    record = state.record
    return record.generation == linked(state, front).generation + 1 and not (record.worker or record.owner)


def is_over(state: State, front: Front) -> bool:
    """Whether a front door can see that its worker is not the session's any more."""
    worker = linked(state, front)
    return bool(front.link) and front.link != state.record.nonce and (not worker.alive or worker.refuses)
