"""The agent: which ids are new, in which order they run, and to whom an outcome is handed."""

from __future__ import annotations

from .rules import Entry
from .setup import Broken, Fault, Setup
from .state import FRONTS, Front, State, Waits, Worker, bit, linked, put, with_front, with_worker
from .steps import Moves, Step


def moves(setup: Setup, state: State) -> Moves:
    """What agents, and front doors that speak to them, may do next."""
    for number, front in enumerate(state.fronts, 1):
        if not front.paused:
            yield from _of_front(setup, state, number, front)
    for number, worker in enumerate(state.workers, 1):
        if worker.alive:
            yield from _of_worker(setup, state, number, worker)


def _of_front(setup: Setup, state: State, number: int, front: Front) -> Moves:
    worker = linked(state, front)
    if not front.link and not front.task.name and _wants_link(state, front):
        yield Step("attach", number, state.record.worker), _attached(state, number, front)
    if worker.alive and not worker.refuses:
        for request, waits in enumerate(front.waiting, 1):
            if waits == Waits.UNDISPATCHED and request != setup.rewind_request:
                yield Step("dispatch", number, request), _dispatched(setup, state, number, request)
    if worker.alive and front.confirm:
        yield Step("confirm", number, front.confirm), _confirmed(setup, state, number, front)


def _wants_link(state: State, front: Front) -> bool:
    number = state.record.worker
    worker = state.workers[number - 1] if number else None
    if worker is None or not worker.alive:
        return False
    if any(front.waiting):
        return True
    # The sweeper attaches to a worker that nobody is linked to.
    is_alone = all(other.paused or other.link != number for other in state.fronts)
    return is_alone and len(worker.chain) > worker.confirmed


def _attached(state: State, number: int, front: Front) -> State:
    worker = state.workers[state.record.worker - 1]
    at = worker.confirmed
    return with_front(state, number, front._replace(link=state.record.worker, base=at, got=at))


def _dispatched(setup: Setup, state: State, number: int, request: int) -> State:
    front = state.fronts[number - 1]
    front, worker = front._replace(waiting=put(front.waiting, request, Waits.DISPATCHED)), linked(state, front)
    if worker.table & bit(request) and setup.broken is not Broken.DEDUPE_FORGOTTEN:
        seq = max(seq for seq, entry in enumerate(worker.chain, 1) if entry.request == request)
        if seq <= worker.confirmed:
            return with_front(state, number, front._replace(heard=front.heard | bit(request)))
        front = front._replace(got=max(front.got, seq))
    elif request not in (worker.running, *worker.queue) or setup.broken is Broken.DEDUPE_FORGOTTEN:
        worker = worker._replace(queue=(*worker.queue, request))
    asked = put(worker.askers, request, worker.askers[request - 1] | bit(number))
    return with_worker(with_front(state, number, front), front.link, worker._replace(askers=asked))


def _of_worker(setup: Setup, state: State, number: int, worker: Worker) -> Moves:
    if worker.running:
        yield from _executed(setup, state, number, worker)
    elif worker.queue:
        yield Step("start", number, worker.queue[0]), _started(state, number, worker)
    if worker.refuses:
        yield Step("park_over", number), with_worker(state, number, worker._replace(refuses=False))
    yield from _handed_over(setup, state, number, worker)


def _started(state: State, number: int, worker: Worker) -> State:
    request, *rest = worker.queue
    client = state.clients[request - 1]
    state = state._replace(clients=put(state.clients, request, client._replace(starts=client.starts + 1)))
    return with_worker(state, number, worker._replace(running=request, queue=tuple(rest)))


def _executed(setup: Setup, state: State, number: int, worker: Worker) -> Moves:
    request, chain = worker.running, (*worker.chain, Entry(worker.running, 0, number))
    after = worker._replace(running=0, chain=chain, table=worker.table | bit(request))
    link = _first_link(state, number, worker.askers[request - 1])
    if link:
        state = with_front(state, link, state.fronts[link - 1]._replace(got=len(chain)))
    if setup.shadow:
        yield Step("execute_in_place", number, request), with_worker(state, number, after)
        after = after._replace(shadow=len(chain))
    yield Step("execute", number, request), with_worker(state, number, after)


def _first_link(state: State, number: int, askers: int) -> int:
    links = [front for front in FRONTS if state.fronts[front - 1].link == number]
    return next((front for front in links if askers & bit(front)), links[0] if links else 0)


def _handed_over(setup: Setup, state: State, number: int, worker: Worker) -> Moves:
    last = len(worker.chain)
    links = [front for front in state.fronts if front.link == number]
    if last == worker.confirmed or not links:
        return
    holders = [front for front in links if front.got == last]
    if setup.broken is Broken.NO_HANDOVER_MS and holders:
        return
    is_late = any(not front.paused and front.held < last for front in holders)
    if is_late and (not state.faults or Fault.SLOW not in setup.kinds):
        return
    for to, front in enumerate(state.fronts, 1):
        if front.link == number and front.got < last and not front.paused:
            after = with_front(state, to, front._replace(got=last))
            name, spent = ("hand_over_early", 1) if is_late else ("hand_over", 0)
            yield Step(name, number, to), after._replace(faults=after.faults - spent)


def _confirmed(setup: Setup, state: State, number: int, front: Front) -> State:
    """The agent drops its copies and tells every link that waits, the committing one included."""
    worker, askers = linked(state, front), list(linked(state, front).askers)
    told = dict.fromkeys(FRONTS, 0)
    for entry in worker.chain[worker.confirmed : front.confirm]:
        for to in FRONTS:
            if askers[entry.request - 1] & bit(to):
                told[to] |= bit(entry.request)
        askers[entry.request - 1] = 0
    if setup.broken is Broken.COMMITTER_NOT_TOLD:
        told[number] = 0
    after = worker._replace(confirmed=max(worker.confirmed, front.confirm), askers=tuple(askers))
    state = with_worker(with_front(state, number, front._replace(confirm=0)), front.link, after)
    for to in FRONTS:
        if told[to]:
            state = _heard(state, to, front.link, told[to])
    return state


def _heard(state: State, to: int, number: int, requests: int) -> State:
    front = state.fronts[to - 1]
    waiting = sum(bit(request) for request, waits in enumerate(front.waiting, 1) if waits == Waits.DISPATCHED)
    if front.link != number:
        return state
    return with_front(state, to, front._replace(heard=front.heard | requests & waiting))
