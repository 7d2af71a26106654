"""An engine in this process over real workers without a sandbox and the in-memory store, with clients beside it.

Several engines may follow one another on the same store and workers: each is a front door that the one before left
behind as a killed process does, without a word to anyone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.commits import Commit, CommitReply
from orchestrator.core.intents import Intent, IntentReply
from orchestrator.core.principal import Principal
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import Record
from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.engine import Engine
from orchestrator.engine.link import Link
from orchestrator.engine.session import LiveSession
from orchestrator.ports import Runtime, Store, StoreFacts
from orchestrator.runtimes.scripted import Command, ScriptedRuntime, real_worker
from orchestrator.stores.memory import MemoryStore
from orchestrator.telemetry.metrics import Metrics
from replwire.errors import WireError
from replwire.limits import default_limits
from support.client import TERMINALS, Envelope
from support.engine_parts import KEYS, MachineClock
from support.runtimes import bench_of

SCRIPT = Path(__file__).with_name("scripted_worker.py")
PATIENCE_S = 20.0
_NUMBERS = itertools.count(1)
"""Of clients: no two of them make the same id."""
ROUND_TRIP_S = 0.003
"""To the store: what comes meanwhile must not be lost."""


def scripted_worker(spec: SandboxSpec, folder: Path) -> Sequence[str]:
    """The real agent with an interpreter that does what code says."""
    (folder / "work").mkdir()
    return (sys.executable, str(SCRIPT), str(folder / "worker.sock"), str(folder / "work"))


class FlakyStore(MemoryStore):
    """The in-memory store, away whenever a test says so; `on_commit` may answer in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.on_commit: Callable[[Commit], None] = lambda commit: None

    async def _check(self) -> None:
        await asyncio.sleep(ROUND_TRIP_S)
        if self.is_away:
            raise WireError("store_unavailable", "the store is away: as told", retry_after_ms=1000)

    async def facts(self) -> StoreFacts:
        """See `Store`."""
        await self._check()
        return await super().facts()

    async def read(self, session: str) -> Record | None:
        """See `Store`."""
        await self._check()
        return await super().read(session)

    async def raise_generation(self, *arguments: Any, **more: Any) -> Any:
        """See `Store`."""
        await self._check()
        return await super().raise_generation(*arguments, **more)

    async def checkpoint(self, session: str, at: int | str | None = None) -> Any:
        """See `Store`."""
        await self._check()
        return await super().checkpoint(session, at)

    async def intend(self, wanted: Sequence[Intent]) -> Sequence[IntentReply]:
        """See `Store`."""
        await self._check()
        return await super().intend(wanted)

    async def commit(self, commit: Commit) -> CommitReply:
        """See `Store`."""
        self.on_commit(commit)
        await self.gate.wait()
        await self._check()
        return await super().commit(commit)


class MemoryChannel:
    """One client's connection: what it sent is received, what it is sent is kept, with the time in between left out."""

    def __init__(self) -> None:
        self._in: asyncio.Queue[str | None] = asyncio.Queue()
        self.received: list[Envelope] = []
        self._news = asyncio.Condition()
        self.closed: int | None = None

    async def receive(self) -> str | None:
        """See `Channel`."""
        return await self._in.get()

    def offer(self, text: str) -> bool:
        """See `Channel`."""
        self.received.append(json.loads(text))
        return True

    async def send(self, text: str) -> None:
        """See `Channel`."""
        self.offer(text)

    async def close(self, code: int, reason: str) -> None:
        """See `Channel`."""
        self.closed = code
        self._in.put_nowait(None)

    def put(self, text: str | None) -> None:
        """The client sends, or with None hangs up."""
        self._in.put_nowait(text)


class Client:
    """A client of an engine in this process."""

    def __init__(
        self, engine: Engine, principal: Principal, session: str | None, lapsed: asyncio.Event | None = None
    ) -> None:
        self.channel = MemoryChannel()
        self._name, self._ids = f"client-{next(_NUMBERS)}", itertools.count(1)
        self._task = asyncio.create_task(
            engine.converse(self.channel, principal, session=session, told_everything=True, lapsed=lapsed)
        )

    @property
    def received(self) -> list[Envelope]:
        """Everything that came, in order."""
        return self.channel.received

    def send(self, type_: str, payload: Envelope | None = None, *, id_: str | None = None, **more: Any) -> str:
        """Send an envelope and return its id."""
        id_ = id_ or f"{self._name}-{next(self._ids)}"
        self.channel.put(json.dumps({"id": id_, "type": type_, "payload": payload or {}, "timestamp": 1, **more}))
        return id_

    async def wait_for(self, wanted: Callable[[Envelope], bool], *, seen: int = 0) -> Envelope:
        """The first envelope after `seen`, past or to come, that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for envelope in self.received[seen:]:
                    if wanted(envelope):
                        return envelope
                await asyncio.sleep(0.002)

    async def terminal(self, id_: str, *, seen: int = 0) -> Envelope:
        """The envelope that ends a request."""
        return await self.wait_for(lambda e: e.get("id") == id_ and e["type"] in TERMINALS, seen=seen)

    async def ask(self, type_: str, payload: Envelope | None = None, **more: Any) -> Envelope:
        """Send and wait for the terminal."""
        seen = len(self.received)
        return await self.terminal(self.send(type_, payload, **more), seen=seen)

    async def eval(self, code: str, **payload: Any) -> Envelope:
        """The payload of an eval's `result`; an `error` is an AssertionError."""
        answer = await self.ask("eval", {"code": code, **payload})
        assert answer["type"] == "result", answer
        found: Envelope = answer["payload"]
        return found

    async def attach(self, session: str, cursor: str | None = None, **more: Any) -> Envelope:
        """The payload of the reply to `attach`."""
        answer = await self.ask("attach", {"session": session, **({"cursor": cursor} if cursor else {}), **more})
        assert answer["type"] == "reply", answer
        found: Envelope = answer["payload"]
        return found

    def events(self, type_: str) -> list[Envelope]:
        """What came of a type, so far."""
        return [envelope for envelope in self.received if envelope["type"] == type_]

    async def hang_up(self) -> None:
        """The connection ends."""
        self.channel.put(None)
        await self._task


class Stage:
    """One installation: a store, a runtime, and the engine that serves now."""

    def __init__(self, runtime: Runtime, store: Store | None = None, *, name: str = "door", **settings: Any) -> None:
        self._name = name
        self.store = FlakyStore()
        """The in-memory store; the engine has it unless it was given another one."""
        self._store = store or self.store
        self.runtime = runtime
        self._settings: dict[str, Any] = {"pool_size": 1, "sweep_interval_s": 3600.0, **settings}
        self._settings["limits"] = default_limits() | self._settings.get("limits", {})
        self.metrics = Metrics()
        self._engines: list[Engine] = []

    @property
    def engine(self) -> Engine:
        """The one that serves now."""
        return self._engines[-1]

    async def start(self) -> None:
        """A front door comes up; one from before just stops to be asked, and its links are cut."""
        if self._engines:
            self.abandon()
        self.metrics = Metrics()
        engine = Engine(
            runtime=self.runtime, store=self._store, clock=MachineClock(), metrics=self.metrics,
            config=EngineConfig(**(KEYS | self._settings)), server_name=f"{self._name}-{len(self._engines)}",
        )  # fmt: skip
        await engine.start()
        self._engines.append(engine)

    def abandon(self) -> None:
        """As `kill -9` of the front door: no word to the store or the worker, its sockets are closed by the kernel."""
        if self.engine._sweeper._task is not None:
            self.engine._sweeper._task.cancel()
        for session in self.engine._sessions.live:
            session.connector.stop()
            session.committer.stop()
            if session.link is not None:
                session.link.close()

    def connect(
        self, *, session: str | None = None, principal: Principal | None = None, lapsed: asyncio.Event | None = None
    ) -> Client:
        """One more client."""
        return Client(self.engine, principal or Principal("acme", "ann"), session, lapsed)

    def live(self, session: str) -> LiveSession:
        """The session in hand."""
        return next(item for item in self.engine._sessions.live if item.id == session)

    async def opened(self, **payload: Any) -> tuple[Client, str]:
        """A client and the session that it opened; a worker has it already."""
        client = self.connect()
        session: str = (await client.ask("open", payload))["payload"]["session"]
        await client.wait_for(lambda e: e["type"] == "status" and e["payload"]["status"] == "ready")
        return client, session

    def work_folder(self, session: str) -> Path:
        """Where the session's code writes files."""
        worker = self.live(session).record.worker
        assert worker is not None
        return Path(worker.address).parent / "work"

    def kill_worker(self, session: str) -> None:
        """As `kill -9`."""
        worker = self.live(session).record.worker
        assert worker is not None
        assert isinstance(self.runtime, ScriptedRuntime)
        self.runtime._processes[worker.worker].kill()

    async def close(self) -> None:
        """End everything."""
        for engine in self._engines:
            await engine._sweeper.close()
            await engine._sessions.close()
        await self.runtime.close()


@contextlib.contextmanager
def held_back(link: Link | None) -> Iterator[None]:
    """What the worker says meanwhile comes in one breath at the end."""
    assert link is not None and link._transport is not None
    link._transport.pause_reading()
    try:
        yield
    finally:
        link._transport.resume_reading()


@contextlib.asynccontextmanager
async def stage(command: Command = real_worker, **settings: Any) -> AsyncIterator[Stage]:
    """An engine that serves; `command` says which workers."""
    async with bench_of("scripted") as bench, stage_on(ScriptedRuntime(bench.folders, command), **settings) as made:
        yield made


@contextlib.asynccontextmanager
async def two_doors(
    command: Command = real_worker, stores: tuple[Store, Store] | None = None, **settings: Any
) -> AsyncIterator[tuple[Stage, Stage]]:
    """Two front doors that serve at the same time: one store (`stores`: its two ends), and each starts workers of its
    own."""
    async with (
        bench_of("scripted") as bench,
        stage_on(ScriptedRuntime(bench.folders, command), store=stores and stores[0], **settings) as one,
        bench_of("scripted") as beside,
    ):
        shared = stores[1] if stores else one.store
        other = Stage(ScriptedRuntime(beside.folders, command), shared, name="beside", **settings)
        other.store = one.store
        try:
            await other.start()
            yield one, other
        finally:
            await other.close()


@contextlib.asynccontextmanager
async def stage_on(runtime: Runtime, **settings: Any) -> AsyncIterator[Stage]:
    """An engine that serves on this runtime, which ends with it."""
    made = Stage(runtime, **settings)
    try:
        await made.start()
        yield made
    finally:
        await made.close()
