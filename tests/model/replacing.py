"""Replacing a worker, parking and rewinding: everything that raises the generation."""

from __future__ import annotations

from .clients import acknowledge, settled
from .rules import REWIND, Answer, Commit, Entry, Record, commit, raised, requests_of, run_of
from .setup import Broken, Fault, Setup
from .state import (
    GONE,
    IDLE,
    Front,
    State,
    Task,
    Waits,
    Worker,
    bit,
    is_on_disk,
    is_owned,
    linked,
    tidied,
    with_front,
    with_worker,
)
from .steps import Moves, Step


def moves(setup: Setup, state: State) -> Moves:
    """What front doors may do next about the generation."""
    for number, front in enumerate(state.fronts, 1):
        if front.paused:
            continue
        if front.task.name:
            yield from _TASKS[front.task.name](setup, state, number, front)
        else:
            yield from _begun(setup, state, number, front)


def _begun(setup: Setup, state: State, number: int, front: Front) -> Moves:
    if any(front.waiting) or front.suspects:
        yield from _replaced(setup, state, number, front)
    if setup.rewind and front.waiting[setup.rewind_request - 1] and state.record.nonce:
        task = Task("rewind", read=state.record)
        yield Step("rewind_read", number), with_front(state, number, front._replace(task=task))
    if state.parks and front.link == state.record.worker and _is_idle(linked(state, front), front):
        yield _asked(setup, state, number, front)


# --- replace --------------------------------------------------------------------------------------------------------


def _replaced(setup: Setup, state: State, number: int, front: Front) -> Moves:
    name = _reason(setup, state, number, front)
    if not name:
        return
    if setup.broken is Broken.READ_BEFORE_RAISE and name == "raise":
        yield Step("peek", number), with_front(state, number, front._replace(task=Task("peeked", 0, state.record)))
    else:
        nonce = len(state.workers) + 1
        yield Step(name, number, nonce), _raised(state, number, Task("raised", nonce), is_fault=name != "raise")


def _reason(setup: Setup, state: State, number: int, front: Front) -> str:
    """The name of the step that raises the generation, or nothing when there is no reason to."""
    record = state.record
    if not record.worker:
        if record.owner == number or not is_owned(state):
            return "raise"
        return "raise_early" if state.faults and Fault.SLOW in setup.kinds else ""
    worker = state.workers[record.worker - 1]
    if not worker.alive or (front.suspects and front.link == record.worker):
        return "raise"
    return "suspect" if state.faults and Fault.SUSPICION in setup.kinds and front.link == record.worker else ""


def _raised(state: State, number: int, task: Task, *, is_fault: bool = False) -> State:
    """Compare-and-set on what was seen a moment ago: who loses it has done nothing."""
    record, front = state.record, state.fronts[number - 1]
    workers = state.workers
    if front.suspects and front.link == record.worker:
        state = with_worker(state, front.link, GONE._replace(chain=workers[front.link - 1].chain))
    return with_front(state, number, front._replace(task=task))._replace(
        record=raised(record, len(workers) + 1, number),
        workers=(*state.workers, GONE),
        faults=state.faults - is_fault,
    )


def _peeked(_setup: Setup, state: State, number: int, front: Front) -> Moves:
    """The broken order: what was read before the raise is taken for final."""
    old, nonce = front.task.read, len(state.workers) + 1
    if old is None or old.generation != state.record.generation:
        yield Step("abandon", number), with_front(state, number, front._replace(task=IDLE))
        return
    after = _raised(state, number, Task("read", nonce, old))
    record = after.record
    told = settled(after._replace(record=old), number)._replace(record=record)
    yield Step("raise", number, nonce), tidied(told)


def _read(setup: Setup, state: State, number: int, front: Front) -> Moves:
    """Only now is what the store says final. Another raise may have come meanwhile; publishing will tell."""
    if not is_on_disk(setup, state) and setup.broken is not Broken.RAISE_UNSYNCED:
        return
    if front.link and front.link == state.record.nonce and setup.broken is not Broken.READ_UNCHECKED:
        # The store went back behind the raise: the old generation can commit again.
        yield Step("abandon", number, front.task.nonce), with_front(state, number, front._replace(task=IDLE))
        return
    if setup.broken is Broken.RUN_AGAIN:
        again = tuple(waits and Waits.UNDISPATCHED for waits in front.waiting)
        state = with_front(state, number, front._replace(waiting=again))
    told = settled(state, number, is_sure=is_on_disk(setup, state))
    front = told.fronts[number - 1]._replace(task=front.task._replace(name="read", read=state.record))
    yield Step("read", number), tidied(with_front(told, number, front))


def _published(setup: Setup, state: State, number: int, front: Front) -> Moves:
    nonce, read, record = front.task.nonce, front.task.read, state.record
    assert read is not None
    if record.nonce != nonce and setup.broken is not Broken.PUBLISH_UNCHECKED:
        yield Step("abandon", number, nonce), with_front(state, number, front._replace(task=IDLE))
        return
    generation = record.generation if record.nonce == nonce else read.generation
    worker = _restored(setup, read, generation, len(front.waiting))
    at = worker.confirmed
    after = with_front(state, number, front._replace(task=IDLE, link=nonce, base=at, got=at))
    after = with_worker(after, nonce, worker)._replace(record=record._replace(worker=nonce, owner=0))
    yield Step("publish", number, nonce), tidied(after)


def _restored(setup: Setup, read: Record, generation: int, requests: int) -> Worker:
    table = 0 if setup.broken is Broken.NO_ID_TABLE else sum(map(bit, requests_of(read.journal)))
    at = len(read.journal)
    return Worker(generation, True, read.journal, at, table, askers=(0,) * requests, shadow=at)


# --- park -----------------------------------------------------------------------------------------------------------


def _is_idle(worker: Worker, front: Front) -> bool:
    is_quiet = not (worker.queue or worker.running or worker.refuses or any(front.waiting))
    return worker.alive and is_quiet and len(worker.chain) == worker.confirmed


def _asked(setup: Setup, state: State, number: int, front: Front) -> tuple[Step, State]:
    is_asked, nonce = setup.broken is not Broken.PARK_UNASKED, state.record.nonce
    state = with_front(state, number, front._replace(task=Task("park", nonce, state.record)))
    after = with_worker(state, front.link, linked(state, front)._replace(refuses=is_asked))
    return Step("ask" if is_asked else "find_idle", number, front.link), after._replace(parks=state.parks - 1)


def _parked(setup: Setup, state: State, number: int, front: Front) -> Moves:
    record, task = state.record, front.task
    assert task.read is not None
    if (record.nonce, len(record.journal)) != (task.nonce, len(task.read.journal)):
        yield Step("park_refused", number, task.nonce), with_front(state, number, front._replace(task=IDLE))
    elif setup.broken is Broken.PARK_UNASKED:
        after = settled(state._replace(record=record._replace(worker=0)), number)
        front = after.fronts[number - 1]._replace(task=Task("end", task.nonce))
        yield Step("park_unraised", number, task.nonce), with_front(after, number, front)
    else:
        after = _raised(state, number, Task("end", task.nonce))
        after = after._replace(record=after.record._replace(owner=0))
        yield Step("park", number, after.record.nonce), after


def _ended(_setup: Setup, state: State, number: int, front: Front) -> Moves:
    worker = state.workers[front.task.nonce - 1]
    after = with_front(state, number, front._replace(task=IDLE))
    yield Step("end", number, front.task.nonce), with_worker(after, front.task.nonce, dead(worker))


def dead(worker: Worker) -> Worker:
    """What is left of a worker: what it handed over is on its way still."""
    return GONE._replace(generation=worker.generation, chain=worker.chain)


# --- rewind ---------------------------------------------------------------------------------------------------------


def _rewound(setup: Setup, state: State, number: int, front: Front) -> Moves:
    seen, nonce = front.task.read, front.task.nonce or len(state.workers) + 1
    assert seen is not None
    answer, record = commit(state.record, _rewind(setup, seen, number, nonce), setup.rules)
    match answer:
        case Answer.OK:
            task = Task("rewound", nonce, seen)
            workers = (*state.workers, *(GONE,) * (nonce - len(state.workers)))
            state = state._replace(record=record, workers=workers)
        case Answer.DUP:
            task = Task("rewound", read=seen)
        case _:
            task = IDLE
    yield Step("rewind", number, nonce), with_front(state, number, front._replace(task=task))


def _rewind_heard(setup: Setup, state: State, number: int, front: Front) -> Moves:
    """Who made it replaces the worker; who hears of one that was made before has nothing more to do. A lost
    reply is asked for again, with the same nonce."""
    if state.faults and Fault.REPLY in setup.kinds:
        lost = with_front(state, number, front._replace(task=front.task._replace(name="rewind")))
        yield Step("lose_rewind", number), lost._replace(faults=state.faults - 1)
    if is_on_disk(setup, state):
        nonce = front.task.nonce
        heard = with_front(state, number, front._replace(task=Task("raised", nonce) if nonce else IDLE))
        run = run_of(state.record.journal, setup.rewind_request)
        yield Step("hear_rewind", number), acknowledge(heard, number, setup.rewind_request, run)


def _rewind(setup: Setup, seen: Record, number: int, nonce: int) -> Commit:
    """Seq + 1, whose state is that of seq 0, and the next generation, in one script."""
    entry = Entry(setup.rewind_request, REWIND, seen.nonce)
    return Commit(
        generation=seen.generation,
        nonce=seen.nonce,
        base=seen.etag,
        first=len(seen.journal) + 1,
        entries=(entry,),
        state=(),
        raises=nonce,
        owner=number,
    )


_TASKS = {
    "peeked": _peeked,
    "raised": _read,
    "read": _published,
    "park": _parked,
    "end": _ended,
    "rewind": _rewound,
    "rewound": _rewind_heard,
}
