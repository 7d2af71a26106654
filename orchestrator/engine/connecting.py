"""The way from a session to a worker: adopt the one that runs, restore into a new one, replace one that died.

Raise first, read afterwards: only then is what the store says final, because a commit of the old generation may be
on its way (durability.md, "Replace, park, wake").
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from orchestrator import faults
from orchestrator.core.session import Record, WorkerAddress, visible_to
from orchestrator.engine.adopting import Adopter
from orchestrator.engine.investigating import Investigator
from orchestrator.engine.restoring import Restorer
from orchestrator.engine.services import Services
from orchestrator.engine.settling import Settler
from orchestrator.ports import Raised
from replwire.errors import WireError

if TYPE_CHECKING:
    from orchestrator.engine.requests import Pending
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")

RAISE_TRIES_MAX: Final = 50
RAISE_WAIT_S: Final = 0.1
"""Tries, and the time between them, when another front door replaces the same worker."""


class Connector:
    """The tasks of one `LiveSession`: one of them at a time decides about its worker."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._restorer = Restorer(services)
        self._settler = Settler(services, session)
        self._adopter = Adopter(services, session)
        self._investigator = Investigator(services, self._settler, self._adopter, self._record, self._replace)
        self._task: asyncio.Task[None] | None = None
        self._side_tasks: set[asyncio.Task[None]] = set()

    # --- what the session asks ----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Adopt or restore."""
        self._decide(self._connect())

    def replace(self, code: str, message: str) -> None:
        """End the worker, answer what it owed, go on if anything waits."""
        self._decide(self._replace(WireError(code, message)))

    def investigate(self, cause: str, told: dict[str, Any]) -> None:
        """The link was lost: find out whether the worker was."""
        self._decide(self._investigator.investigate(cause, told))

    def park(self) -> None:
        """End the worker; the session goes on when it is asked again."""
        self._decide(self._park())

    def answer_from_store(self, pending: Pending) -> None:
        """The id was committed before: its stored outcome is the answer."""
        self.aside(self._settler.answer_from_store(pending))

    def end_worker(self, worker: WorkerAddress) -> None:
        """A worker that is no session's any more: whoever waits for a new one does not wait for its end."""
        self.aside(self._services.runtime.stop(worker.worker))

    def stop(self) -> None:
        """The session is over."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _decide(self, work: Coroutine[Any, Any, None]) -> None:
        if self._task is not None and not self._task.done() and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = asyncio.create_task(self._guarded(work))

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that decides nothing about the worker, beside what does."""
        task = asyncio.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._aside_done)

    def _aside_done(self, task: asyncio.Task[None]) -> None:
        self._side_tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background work failed", session_id=self._session.id, exc_info=error)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except WireError as error:
            self._give_up(error)
        except Exception:  # noqa: BLE001 - the end of the task: whoever waits must be answered
            _log.exception("session failed", session_id=self._session.id)
            self._give_up(WireError("internal", "something went wrong on our side"))

    def _give_up(self, error: WireError) -> None:
        session = self._session
        if error.code == "session_gone":
            self._lose(error.message)
            return
        session.no_worker()
        self._settler.give_up(error)
        session.tell("status", {"status": "parked", "cause": error.message})

    def _lose(self, reason: str) -> None:
        """The record is closed or gone: nothing of the session may go on."""
        worker = self._session.record.worker
        if worker is not None:
            self.end_worker(worker)
        self._session.ended(reason)

    # --- adopt or restore ---------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if await self._begin():
            return
        record = await self._record()
        await self._settler.settle_if_moved(record)
        if record.worker is not None and await self._adopter.adopt(record, record.worker):
            return
        if record.worker is not None:
            await self._replace(WireError("worker_died", "the worker is gone"))
            return
        raised = await self._raise(record)
        record = await self._record()
        await self._settler.settle(record, WireError("worker_died", "the worker is gone"))
        await self._provide(raised, record)

    async def _begin(self) -> bool:
        """The first worker of a session: nothing can have been committed without one, and so nothing has to be read."""
        record = self._session.record
        raised = await self._raise_once(0) if record.generation == 0 else None
        if raised is None:
            return False
        await self._provide(raised, record)
        return True

    # --- restore ------------------------------------------------------------------------------------------------

    async def _raise_once(self, seen: int) -> Raised | None:
        services = self._services
        deadline_s = services.config.replace_deadline_s
        faults.mark("before-raise")
        raised = await services.store.raise_generation(self._session.id, seen, services.server, deadline_s)
        faults.mark("after-raise")
        return raised

    async def _raise(self, record: Record) -> Raised:
        seen = record.generation
        for _ in range(RAISE_TRIES_MAX):
            raised = await self._raise_once(seen)
            if raised is not None:
                return raised
            await asyncio.sleep(RAISE_WAIT_S)
            seen = (await self._record()).generation
        raise WireError("busy", "another front door is replacing the worker", retry_after_ms=1000)

    async def _provide(self, raised: Raised, record: Record) -> None:
        """A worker for this generation, with the last committed state in it: the record was read after the raise."""
        session = self._session
        session.committer.stop()
        restored = await self._restorer.provide(session, record, raised)
        session.committer = session.new_committer(restored.record, restored.references)
        session.linked(restored.record, restored.link, 0)
        _log.info(
            "worker claimed", session_id=session.id, generation=raised.generation, worker=restored.worker.worker,
            seq=record.seq, lost=len(restored.lost),
        )  # fmt: skip
        if restored.lost:
            session.tell("status", {"status": "ready", "cause": "restored", "unsaved": restored.lost})

    # --- replace ------------------------------------------------------------------------------------------------

    async def _record(self) -> Record:
        session = self._session
        found = await self._services.store.read(session.id)
        if found is None:
            raise WireError("session_gone", "the store does not have this session any more", session=session.id)
        return visible_to(found, session.policy.tenant, session.id)

    async def _replace(self, error: WireError) -> None:
        session = self._session
        record = await self._record()
        session.unlink()
        if await self._settler.settle_if_moved(record) and record.worker is not None:
            # Another front door was faster: its worker is the session's.
            await self._connect()
            return
        self._services.metrics.replacements.labels(error.code).inc()
        old, raised = record.worker, await self._raise(record)
        if old is not None:
            self.end_worker(old)
        record = await self._record()
        await self._settler.settle(record, error)
        _log.warning("worker replaced", session_id=session.id, cause=error.code, detail=error.message, seq=record.seq,
                     generation=raised.generation)  # fmt: skip
        await self._go_on(raised, record, error.message)

    async def _go_on(self, raised: Raised, record: Record, cause: str) -> None:
        session = self._session
        if session.requests:
            await self._provide(raised, record)
            return
        await self._services.store.publish(session.id, raised, None)
        session.no_worker()
        session.tell("status", {"status": "parked", "cause": cause})
        if session.requests:
            # One came while the store was told that there is no worker.
            session.connect()

    async def _park(self) -> None:
        session = self._session
        record = await self._record()
        old, raised = record.worker, await self._raise(record)
        session.unlink()
        if old is not None:
            self.end_worker(old)
        record = await self._record()
        await self._settler.settle(record, WireError("worker_died", "the worker was parked"))
        await self._go_on(raised, record, "idle")
