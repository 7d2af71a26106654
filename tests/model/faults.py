"""What goes wrong, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable

from .clients import roll_back
from .committing import has_to_commit, next_commit
from .replacing import dead
from .rules import commit, run_of
from .setup import Broken, Fault, Setup
from .state import FRONTS, IDLE, Front, State, Waits, Worker, bit, linked, put, tidied, with_front, with_worker
from .steps import Moves, Step


def moves(setup: Setup, state: State) -> Moves:
    """What may go wrong next, what may come of earlier faults, and copies of the store's file."""
    yield from _store(setup, state)
    for number, front in enumerate(state.fronts, 1):
        if front.paused:
            yield Step("wake", number), with_front(state, number, front._replace(paused=False))
    if state.wild is not None:
        answered = commit(state.record, state.wild, setup.rules)[1]
        yield Step("late", what=len(state.wild.base + state.wild.entries)), state._replace(record=answered, wild=None)
    if state.faults:
        spent = state._replace(faults=state.faults - 1)
        for kind in sorted(setup.kinds & _KINDS.keys(), key=lambda kind: kind.name):
            yield from _KINDS[kind](setup, spent)


# --- workers --------------------------------------------------------------------------------------------------------


def _worker_dies(_setup: Setup, state: State) -> Moves:
    for number, worker in enumerate(state.workers, 1):
        if worker.alive:
            yield Step("worker_dies", number), tidied(with_worker(state, number, dead(worker)))


def _interpreter_dies(setup: Setup, state: State) -> Moves:
    for number, worker in enumerate(state.workers, 1):
        if worker.alive:
            after, at = _without_interpreter(setup, state, number, worker), worker.shadow
            yield Step("interpreter_dies", number, at), after


def _without_interpreter(setup: Setup, state: State, number: int, worker: Worker) -> State:
    """The shadow takes over if it was forked at the last seq handed over; else the worker is dead."""
    last = len(worker.chain)
    if worker.shadow != last and setup.broken is not Broken.SHADOW_AT_ANY_SEQ:
        return with_worker(state, number, dead(worker))
    forgot = (worker.shadow, last) if worker.shadow != last else (0, 0)
    request, askers = worker.running, worker.askers
    for front in FRONTS if request else ():
        if askers[request - 1] & bit(front) and state.fronts[front - 1].link == number:
            state = roll_back(state, front, request)
    asked = put(askers, request, 0) if request else askers
    return with_worker(state, number, worker._replace(running=0, askers=asked, forgot=forgot))


# --- front doors ----------------------------------------------------------------------------------------------------


def _front_dies(setup: Setup, state: State) -> Moves:
    for number, front in enumerate(state.fronts, 1):
        after = _orphaned(state, number, front)
        if front.link:
            worker = linked(state, front)
            askers = tuple(mask & ~bit(number) for mask in worker.askers)
            after = with_worker(after, front.link, worker._replace(askers=askers))
        after = with_front(after, number, Front(waiting=(Waits.NOT,) * len(front.waiting)))
        yield Step("front_dies", number), tidied(after)
        if has_to_commit(front) and not front.paused:
            yield Step("front_dies_sending", number), tidied(after._replace(wild=next_commit(setup, state, front)))


def _pauses(setup: Setup, state: State) -> Moves:
    for number, front in enumerate(state.fronts, 1):
        if not front.paused:
            after = with_front(_orphaned(state, number, front), number, front._replace(paused=True))
            yield Step("pause", number), after
            if has_to_commit(front):
                yield Step("pause_sending", number), after._replace(wild=next_commit(setup, state, front))


def _orphaned(state: State, number: int, front: Front) -> State:
    """Clients of a front door that is dead or silent send again what it has not answered, through another one."""
    waiting = sum(bit(request) for request, waits in enumerate(front.waiting, 1) if waits)
    return state._replace(orphans=state.orphans | waiting)


def _reply_is_lost(_setup: Setup, state: State) -> Moves:
    for number, front in enumerate(state.fronts, 1):
        if front.reply is not None:
            yield Step("lose", number), with_front(state, number, front._replace(reply=None))


# --- the store ------------------------------------------------------------------------------------------------------


def _store(setup: Setup, state: State) -> Moves:
    if Fault.STORE_BACK in setup.kinds and state.disk is None and state.faults:
        yield Step("backup"), state._replace(disk=state.record)
    elif Fault.STORE_CRASH in setup.kinds and state.disk != state.record:
        yield Step("sync"), state._replace(disk=state.record)


def _store_goes_back(_setup: Setup, state: State) -> Moves:
    """What the lost part of the history told is void: those who were told must hear that the session regressed."""
    disk = state.disk
    if disk is None or disk == state.record:
        return
    excused, clients = state.excused, []
    for request, client in enumerate(state.clients, 1):
        if client.acked and run_of(disk.journal, request) != client.acked:
            excused |= bit(request)
        clients.append(client._replace(lost=client.lost & (bit(disk.nonce) - 1 if disk.nonce else 0)))
    fronts = tuple(
        front._replace(reply=None, task=IDLE if front.task.name == "rewound" else front.task) for front in state.fronts
    )
    after = state._replace(record=disk, fronts=fronts, clients=tuple(clients), excused=excused, disk=None)
    yield Step("store_back"), after


def _store_dies(_setup: Setup, state: State) -> Moves:
    """It comes back with its disk; replies that nobody heard are lost, and so is what they would have begun."""
    disk = state.disk
    if disk is None or disk == state.record:
        return
    fronts = tuple(
        front._replace(reply=None, task=front.task if front.task.nonce <= disk.nonce else IDLE)
        for front in state.fronts
    )
    yield Step("store_crash"), state._replace(record=disk, fronts=fronts)


_KINDS: dict[Fault, Callable[[Setup, State], Moves]] = {
    Fault.WORKER: _worker_dies,
    Fault.INTERPRETER: _interpreter_dies,
    Fault.FRONT: _front_dies,
    Fault.PAUSE: _pauses,
    Fault.REPLY: _reply_is_lost,
    Fault.STORE_BACK: _store_goes_back,
    Fault.STORE_CRASH: _store_dies,
}
