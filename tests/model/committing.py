"""A front door that commits what was handed to it, and hears what the store says."""

from __future__ import annotations

from .clients import acknowledge, end, is_over, is_parked, settled
from .rules import Answer, Chain, Commit, commit, run_of
from .setup import Broken, Setup
from .state import Front, Reply, State, Waits, bit, is_on_disk, linked, state_at, with_front
from .steps import Moves, Step


def moves(setup: Setup, state: State) -> Moves:
    """What front doors may do next about commits and about what agents told them."""
    for number, front in enumerate(state.fronts, 1):
        if front.paused:
            continue
        if has_to_commit(front):
            yield Step("commit", number, front.got), _committed(setup, state, number, front)
        if setup.broken is Broken.ACK_BEFORE_COMMIT and front.got > front.base:
            yield Step("tell_early", number, front.got), _told_early(state, number, front)
        yield from _answered(setup, state, number, front)


def _answered(setup: Setup, state: State, number: int, front: Front) -> Moves:
    is_sure = is_on_disk(setup, state)
    if front.reply and (is_sure or setup.broken is Broken.SYNC_UNCHECKED):
        yield Step("hear", number, front.reply.last), _hear(setup, state, number, front.reply)
    if is_sure and not front.task.name and is_over(state, front):
        takes_back = setup.broken is Broken.PARKED_TAKEN_BACK and is_parked(state, front)
        yield Step("settle", number, front.link), settled(state, number, takes_back=takes_back)
    for request in setup.requests if is_sure else ():
        if front.heard & bit(request):
            yield Step("look", number, request), _looked(state, number, request)
    for entry in linked(state, front).chain[front.base : front.held]:
        if front.waiting[entry.request - 1] == Waits.DISPATCHED:
            yield Step("keep", number, entry.request), end(state, number, entry.request)


def has_to_commit(front: Front) -> bool:
    """Whether outcomes are here that no commit was tried with."""
    return front.reply is None and front.got > max(front.base, front.held)


def next_commit(setup: Setup, state: State, front: Front) -> Commit:
    """All outcomes that are not known to be committed, with the checkpoint of the last one."""
    worker, base = linked(state, front), front.base
    if setup.broken is Broken.ONLY_LAST:
        base = front.got - 1
    entries = worker.chain[base : front.got]
    return Commit(
        generation=worker.generation,
        nonce=front.link,
        base=worker.chain[:base],
        first=base + 1,
        entries=entries,
        state=state_at(worker, front.got),
        has_chunks=entries[-1].request not in setup.heavy,
    )


def _committed(setup: Setup, state: State, number: int, front: Front) -> State:
    asked = next_commit(setup, state, front)
    answer, record = commit(state.record, asked, setup.rules)
    reply = Reply(answer, front.got, record.etag if answer in (Answer.GAP, Answer.DUP) else ())
    return with_front(state._replace(record=record), number, front._replace(reply=reply))


def _told_early(state: State, number: int, front: Front) -> State:
    for entry in linked(state, front).chain[front.base : front.got]:
        state = acknowledge(state, number, entry.request, entry.worker)
    return state


def _hear(setup: Setup, state: State, number: int, reply: Reply) -> State:
    front = state.fronts[number - 1]._replace(reply=None)
    state = with_front(state, number, front)
    match reply.answer:
        case Answer.OK:
            return _told(state, number, reply.last)
        case Answer.DUP:
            chain = linked(state, front).chain[: reply.last]
            return _told(state, number, reply.last) if reply.journal[: reply.last] == chain else _bad(state, number)
        case Answer.FENCED:
            takes_back = setup.broken is Broken.PARKED_TAKEN_BACK and is_parked(state, front)
            is_blind = setup.broken is Broken.FENCED_MEANS_LOST
            return settled(state, number, is_blind=is_blind, takes_back=takes_back)
        case Answer.GAP:
            return _gap(setup, state, number, reply.journal)
        case Answer.MISSING:
            # It travels with the next one; until then, and after commit_wait_ms, its result is `kept`.
            return with_front(state, number, front._replace(held=reply.last))
        case Answer.CONFLICT:
            return _bad(state, number)


def _told(state: State, number: int, last: int) -> State:
    """Evals up to `last` are committed: whoever waits here hears it, then the agent."""
    front = state.fronts[number - 1]
    worker = linked(state, front)
    for entry in worker.chain[front.base : last]:
        if state.fronts[number - 1].waiting[entry.request - 1] == Waits.DISPATCHED:
            state = acknowledge(state, number, entry.request, entry.worker)
    after = state.fronts[number - 1]
    return with_front(state, number, after._replace(base=last, confirm=last if worker.alive else 0))


def _bad(state: State, number: int) -> State:
    """`session_regressed` or `worker_protocol_error`: the worker is to be replaced."""
    front = state.fronts[number - 1]
    return with_front(state, number, front._replace(suspects=True, got=front.base, held=0))


def _gap(setup: Setup, state: State, number: int, journal: Chain) -> State:
    """What the store has already is known by its etag; the rest is sent again."""
    front, seq = state.fronts[number - 1], len(journal)
    if setup.broken is Broken.ONLY_LAST:
        return state
    if front.base < seq <= front.got and linked(state, front).chain[:seq] == journal:
        return _told(state, number, seq)
    return _bad(state, number)


def _looked(state: State, number: int, request: int) -> State:
    """The agent's word is a hint; the store's is the answer."""
    run = run_of(state.record.journal, request)
    return acknowledge(state, number, request, run) if run else end(state, number, request)
