"""One piece of a campaign: a ground, clients at work, faults; then quiet, a last look, and the checker's judgement."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from durability.checker import check
from durability.ground import Ground, Layout, ground
from durability.history import Recorder, read_history
from durability.looking import observe
from durability.workload import Client

PROGRESS_S: Final = 60.0
"""How long a session may stand still between two faults; beyond it the piece has failed."""
QUIET_S: Final = 120.0
"""For the clients to end, and for each session to be read, after the last fault."""
PATIENCE_S: Final = 60.0
"""Of a client with a connection that stays."""
IMPATIENCE_S: Final = 2.0
"""Of a client where connections go silent: then it hangs up and comes back."""

TAKEN_OVER: Final = '"interpreter replaced by its shadow"'
"""In a front door's log."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a piece is to do. Two orders that are equal do the same, up to the timing of processes."""

    campaign: str
    seed: int
    faults: int
    """So many, or so many seconds in campaigns that go by time."""
    folder: Path
    """Where the history goes."""
    runtime: str = "docker"
    doors: int = 1
    bug: str = ""
    points: tuple[str, ...] = ()
    """Where front doors are killed, and nowhere else; empty: at all marked points, and at random moments. Of workers:
    only while a commit is on its way."""
    by_time: bool = False
    """Whether `faults` are seconds."""
    told: Callable[[int], None] = lambda done: None
    """Hears how many faults there were so far, or how many seconds are over."""

    @property
    def history(self) -> Path:
        """The file."""
        return self.folder / f"{self.campaign}-{self.runtime}-{self.doors}-{self.seed}.jsonl"


@dataclass(slots=True)
class Figures:
    """What a piece did, and what was found."""

    campaign: str
    seed: int
    runtime: str
    doors: int
    faults: dict[str, int]
    operations: int
    acknowledged: int
    findings: list[str]
    seconds: float
    takeovers: int = 0
    """How often a shadow took over."""
    reconnect_s: list[float] = field(default_factory=list)
    """Each way back of a client, from its loss to its next binding."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Who works: so many sessions, by so many clients; of `shared` sessions, all clients write to every n-th."""

    sessions: int = 4
    clients: int = 1
    shared: int = 0
    think_s: float = 0.0
    impatient: bool = False
    roams: bool = True
    """Where there are several front doors."""
    large: int = 2
    """Every so manieth session has a large array."""
    dying: float = 0.04
    """Of all evals so many kill their own interpreter."""


class Scene:
    """Made by `play`; what a campaign does its faults to."""

    def __init__(self, order: Order, ground: Ground, recorder: Recorder, clients: Sequence[Client]) -> None:
        self.order, self.ground, self.recorder, self.clients = order, ground, recorder, clients
        self.random = Random(f"{order.campaign} {order.seed} faults")
        self.faults = Counter[str]()
        self._seen: dict[str, int] = {}
        self._began = time.monotonic()

    @property
    def sessions(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(client.session for client in self.clients))

    def count(self, what: str) -> None:
        """One more fault of that name was done."""
        self.faults[what] += 1
        self.recorder.add("fault", at=time.monotonic_ns(), what=what)
        self.order.told(int(time.monotonic() - self._began) if self.order.by_time else self.faults.total())

    @property
    def is_done(self) -> bool:
        """Whether there were as many faults as ordered."""
        return self.faults.total() >= self.order.faults

    async def progress(self, session: str | None = None) -> None:
        """Until an eval was acknowledged since this was last asked: in that session, or in any."""
        deadline = time.monotonic() + PROGRESS_S
        while (now := self._acknowledged(session)) <= self._seen.get(session or "", -1):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{session or 'all sessions'}: nothing was acknowledged for {PROGRESS_S:g} s")
            await asyncio.sleep(0.005)
        self._seen[session or ""] = now

    def _acknowledged(self, session: str | None) -> int:
        return sum(client.acknowledged for client in self.clients if session in (None, client.session))

    async def pause(self, up_to_s: float) -> None:
        """A moment drawn from the seed."""
        await asyncio.sleep(self.random.uniform(0, up_to_s))


Faults = Callable[[Scene], Awaitable[None]]


async def play(order: Order, layout: Layout, staff: Staff, faults: Faults, *, allows: Sequence[str] = ()) -> Figures:
    """One piece from beginning to end. What goes wrong on the way (nothing moves any more) is a finding too."""
    began = time.monotonic()
    recorder = Recorder(order.history, order.campaign, order.seed, allows)
    trouble: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(ground(layout, Random(f"{order.seed} ground")))
        clients = [await stack.enter_async_context(client) for client in _clients(order, made, staff, recorder)]
        await _open(clients, staff)
        scene = Scene(order, made, recorder, clients)
        try:
            async with _at_work(clients):
                await faults(scene)
            await _look(clients, recorder)
        except (TimeoutError, AssertionError) as error:
            trouble.append(f"stuck: {error}")
        logs = made.logs()
        (order.history.with_suffix(".log")).write_text(logs)
    recorder.close()
    figures = _judged(order, scene, trouble, time.monotonic() - began)
    figures.takeovers = logs.count(TAKEN_OVER)
    return figures


def _clients(order: Order, made: Ground, staff: Staff, recorder: Recorder) -> list[Client]:
    doors = [lambda number=number: made.urls()[number] for number in range(len(made.doors))]
    found = []
    for session in range(staff.sessions):
        is_shared = staff.shared and session % staff.shared == 0
        for number in range(staff.clients) if is_shared else (session % staff.clients,):
            random = Random(f"{order.seed} client {session} {number}")
            client = Client(
                f"s{session}c{number}", "", doors, recorder, random,
                patience_s=IMPATIENCE_S if staff.impatient else PATIENCE_S, silence_is_loss=staff.impatient,
            )  # fmt: skip
            client.think_s, client.roams = staff.think_s, staff.roams and len(doors) > 1
            client.dying = staff.dying
            found.append(client)
    return found


async def _open(clients: Sequence[Client], staff: Staff) -> None:
    """The first client of each session makes it, the others come to it."""
    made: dict[str, str] = {}
    for client in clients:
        label = client.name.partition("c")[0]
        if label not in made:
            made[label] = await client.open(large=len(made) % staff.large == 0)
        client.session = made[label]


@contextlib.asynccontextmanager
async def _at_work(clients: Sequence[Client]) -> AsyncIterator[None]:
    """They send evals inside; afterwards each ends what it has begun."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(client.run(stop)) for client in clients]
    try:
        yield
        stop.set()
        async with asyncio.timeout(QUIET_S):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _look(clients: Sequence[Client], recorder: Recorder) -> None:
    firsts = {client.session: client for client in reversed(clients)}
    async with asyncio.timeout(QUIET_S):
        for client in firsts.values():
            await observe(client, recorder)


def _judged(order: Order, scene: Scene, trouble: list[str], seconds: float) -> Figures:
    history = read_history(order.history)
    return Figures(
        campaign=order.campaign, seed=order.seed, runtime=order.runtime, doors=order.doors, faults=dict(scene.faults),
        operations=len(history.operations),
        acknowledged=sum(item["outcome"]["state"] == "committed" for item in history.operations),
        findings=trouble + [str(finding) for finding in check(history)], seconds=seconds,
        reconnect_s=[way for client in scene.clients for way in client.reconnect_s],
    )  # fmt: skip
