"""The state of the whole system, as nested tuples: store, workers, front doors, clients, and the faults left.

Requests, workers and front doors are numbered from 1; 0 is none. Sets of them are bit masks.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

from .rules import Answer, Chain, Commit, Entry, Record, replay
from .setup import Fault, Setup

T = TypeVar("T")

FRONTS: Final = (1, 2)


class Waits:
    """How a request waits at a front door."""

    NOT: Final = 0
    UNDISPATCHED: Final = 1
    DISPATCHED: Final = 2


class Worker(NamedTuple):
    """An agent and its interpreter."""

    generation: int = 0
    alive: bool = False
    chain: Chain = ()
    """What it was restored with, and what it executed since."""
    confirmed: int = 0
    """So many of them it was told are committed."""
    table: int = 0
    """Ids that it knows to be done."""
    queue: tuple[int, ...] = ()
    running: int = 0
    askers: tuple[int, ...] = ()
    """By request: front doors that wait for it on this worker."""
    refuses: bool = False
    """It agreed to be parked."""
    shadow: int = 0
    """The seq at which the shadow was forked."""
    forgot: tuple[int, int] = (0, 0)
    """Evals from..to that a shadow took over without; only a broken rule lets them be any."""


class Reply(NamedTuple):
    """What the store answered and nobody heard yet."""

    answer: Answer
    last: int
    """The seq that the commit was for."""
    journal: Chain = ()
    """With GAP: the store's history, as its etag proves it; with DUP: what is stored."""


class Task(NamedTuple):
    """What a front door is in the middle of."""

    name: str = ""
    nonce: int = 0
    read: Record | None = None


IDLE: Final = Task()


class Front(NamedTuple):
    """A front door's memory."""

    paused: bool = False
    link: int = 0
    waiting: tuple[int, ...] = ()
    """By request: `Waits`."""
    base: int = 0
    """So many evals of the linked worker it knows to be committed."""
    got: int = 0
    """Up to here outcomes were handed to it."""
    held: int = 0
    """Up to here the checkpoint was refused for its size."""
    reply: Reply | None = None
    confirm: int = 0
    """A seq to tell the agent."""
    heard: int = 0
    """Requests of which the agent said that they are committed."""
    task: Task = IDLE
    suspects: bool = False
    """The worker broke the protocol, or the store is behind it."""


class Client(NamedTuple):
    """What is known of one request outside of our side."""

    sent: int = 0
    acked: int = 0
    """The worker whose run of it was told as committed."""
    lost: int = 0
    """Workers whose run of it was told as rolled back, as a mask."""
    starts: int = 0
    regressed: bool = False
    """Told that the store went back behind what was told as committed."""


class State(NamedTuple):
    """All of it."""

    record: Record
    workers: tuple[Worker, ...]
    fronts: tuple[Front, ...]
    clients: tuple[Client, ...]
    faults: int
    parks: int
    orphans: int = 0
    """Requests whose front door died or is stopped: their clients will send them again."""
    wild: Commit | None = None
    """A commit on its way whose front door died or is stopped."""
    disk: Record | None = None
    """What the store would come back with."""
    excused: int = 0
    """Requests that were told as committed and that the store lost by going back."""


GONE: Final = Worker()
"""A worker that nothing can be heard of any more."""


def initial(setup: Setup) -> State:
    """A session that was opened and never used."""
    nobody = (0,) * len(setup.requests)
    return State(
        record=Record(),
        workers=(),
        fronts=tuple(Front(waiting=nobody) for _ in FRONTS),
        clients=tuple(Client() for _ in setup.requests),
        faults=setup.faults,
        parks=setup.parks,
    )


def bit(number: int) -> int:
    """The mask of one."""
    return 1 << (number - 1)


def put(items: tuple[T, ...], number: int, item: T) -> tuple[T, ...]:
    """The same tuple with its item `number`, from 1, replaced."""
    return (*items[: number - 1], item, *items[number:])


def with_front(state: State, number: int, front: Front) -> State:
    """The front door `number` is as given."""
    return state._replace(fronts=put(state.fronts, number, front))


def with_worker(state: State, number: int, worker: Worker) -> State:
    """The worker `number` is as given."""
    return state._replace(workers=put(state.workers, number, worker))


def linked(state: State, front: Front) -> Worker:
    """The worker that a front door is linked to; `GONE` when to none."""
    return state.workers[front.link - 1] if front.link else GONE


def state_at(worker: Worker, seq: int) -> Chain:
    """What the interpreter's namespace had after eval `seq`."""
    effects, (first, last) = replay(worker.chain[:seq]), worker.forgot
    if seq <= last or not last:
        return effects
    gone: frozenset[Entry] = frozenset(worker.chain[first:last])
    return tuple(entry for entry in effects if entry not in gone)


def is_owned(state: State) -> bool:
    """Whether a replacement is under way whose owner is at work."""
    owner = state.record.owner
    if not owner:
        return False
    front = state.fronts[owner - 1]
    return not front.paused and front.task.nonce == state.record.nonce


def is_on_disk(setup: Setup, state: State) -> bool:
    """Whether what the store tells now would survive it: with a disk that may be behind, replies wait for that."""
    return Fault.STORE_CRASH not in setup.kinds or state.disk == state.record


def tidied(state: State) -> State:
    """Without what can make no difference any more: workers that are dead or stale and that nobody is linked to."""
    used = {front.link for front in state.fronts} | {state.record.worker}
    if state.disk is not None:
        used.add(state.disk.worker)
    workers = tuple(
        worker if number in used or worker is GONE else GONE for number, worker in enumerate(state.workers, 1)
    )
    return state if workers == state.workers else state._replace(workers=workers)
