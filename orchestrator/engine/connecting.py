"""The way from a session to a worker: adopt the one that runs, restore into a new one, replace one that died.

Raise first, read afterwards: only then is what the store says final, because a commit of the old generation may be
on its way (durability.md, "Replace, park, wake").
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from orchestrator.core.encoding import to_text
from orchestrator.core.outcomes import Outcome, with_commit
from orchestrator.core.session import Record, WorkerAddress, visible_to
from orchestrator.engine.link import Link
from orchestrator.engine.restoring import Restorer, open_link_to
from orchestrator.engine.services import Services
from orchestrator.ports import Raised, WorkerFate
from replwire.cursors import Cursor
from replwire.errors import ERROR_CODES, WireError
from replwire.frames import Kind
from replwire.messages import terminal_type

if TYPE_CHECKING:
    from orchestrator.engine.requests import Pending
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")

_OUT_OF_REACH: Final = "the worker went out of reach"

FATE_POLL_S: Final = 0.02
"""Between questions to the runtime whether a worker whose link was lost still lives."""

RAISE_TRIES_MAX: Final = 50
RAISE_WAIT_S: Final = 0.1
"""Tries, and the time between them, when another front door replaces the same worker."""


class Connector:
    """The tasks of one `LiveSession`: one of them at a time decides about its worker."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._restorer = Restorer(services)
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
        self._decide(self._investigate(cause, told))

    def park(self) -> None:
        """End the worker; the session goes on when it is asked again."""
        self._decide(self._park())

    def answer_from_store(self, pending: Pending) -> None:
        """The id was committed before: its stored outcome is the answer."""
        self.aside(self._answer_from_store(pending))

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
        session.no_worker()
        session.requests.fail_all(error)
        session.tell("status", {"status": "parked", "cause": error.message})

    # --- adopt --------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        session = self._session
        record = await self._services.store.read(session.id)
        record = visible_to(record, session.policy.tenant, session.id)
        if record.worker is not None and await self._adopt(record, record.worker):
            return
        if record.worker is not None:
            await self._replace(WireError("worker_died", "the worker is gone"))
        else:
            await self._provide(await self._raise(record))

    async def _adopt(self, record: Record, worker: WorkerAddress) -> bool:
        """Link to the worker that the record names, if it lives and is ours."""
        fate = await self._services.runtime.fate(worker.worker)
        if fate.alive is False:
            return False
        session = self._session
        try:
            link = await open_link_to(self._services, session, worker)
        except OSError:
            return False
        try:
            welcome = await self._attached(record, link)
            if welcome is None:
                return False
            checkpoint = await self._services.store.checkpoint(session.id)
            session.committer.stop()
            session.committer = session.new_committer(record, checkpoint.references if checkpoint else ())
            if session.policy.durability == "none":
                # The store knows of no eval: the worker says where it is.
                session.committer.seq = _number(welcome, "committed")
            session.linked(record, link, _number(welcome, "event"))
            if isinstance(running := welcome.get("running"), str):
                session.stray.found(running)
        finally:
            if link is not session.link:
                link.close()
        _log.info("worker adopted", session_id=session.id, generation=record.generation)
        return True

    async def _attached(self, record: Record, link: Link) -> dict[str, Any] | None:
        """The worker's welcome; None when it does not answer or takes us for strangers."""
        asked = {
            "session": self._session.id,
            "generation": record.generation,
            "link_key": self._session.link_key(record.generation),
        }
        try:
            return await link.call(Kind.ATTACH, (to_text(asked).encode(),))
        except WireError:
            return None

    # --- restore ------------------------------------------------------------------------------------------------

    async def _raise(self, record: Record) -> Raised:
        store, seen = self._services.store, record.generation
        for _ in range(RAISE_TRIES_MAX):
            raised = await store.raise_generation(
                self._session.id, seen, self._services.server, self._services.config.replace_deadline_s
            )
            if raised is not None:
                return raised
            await asyncio.sleep(RAISE_WAIT_S)
            found = visible_to(await store.read(self._session.id), self._session.policy.tenant, self._session.id)
            seen = found.generation
        raise WireError("busy", "another front door is replacing the worker", retry_after_ms=1000)

    async def _provide(self, raised: Raised) -> None:
        """A worker for this generation, with the last committed state in it."""
        session = self._session
        record = visible_to(await self._services.store.read(session.id), session.policy.tenant, session.id)
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

    async def _investigate(self, cause: str, told: dict[str, Any]) -> None:
        """A dead link is not a dead worker: dial again until the runtime knows better or the time is up."""
        code, _, words = cause.partition(": ")
        if cause:
            await self._replace(WireError(code if code in ERROR_CODES else "worker_unresponsive", words or cause))
            return
        deadline = self._services.clock.monotonic() + self._services.config.worker_lost_ms / 1000
        while self._services.clock.monotonic() < deadline:
            record = await self._record()
            fate = await self._services.runtime.fate(record.worker.worker) if record.worker else WorkerFate(False)
            if fate.alive is False:
                await self._replace(_words_of(fate, told))
                return
            if record.worker is not None and not told and await self._adopt(record, record.worker):
                return
            await asyncio.sleep(FATE_POLL_S)
        await self._replace(
            _words_of(WorkerFate(None), told or {"code": "worker_unresponsive", "message": _OUT_OF_REACH})
        )

    async def _record(self) -> Record:
        session = self._session
        return visible_to(await self._services.store.read(session.id), session.policy.tenant, session.id)

    async def _replace(self, error: WireError) -> None:
        session = self._session
        record = await self._record()
        old = record.worker
        uncommitted = session.committer.waiting
        session.unlink()
        self._services.metrics.replacements.labels(error.code).inc()
        raised = await self._raise(record)
        if old is not None:
            self.end_worker(old)
        record = await self._record()
        lost = await self._answer_open(record, uncommitted, error)
        session.record = record
        _log.warning("worker replaced", session_id=session.id, cause=error.code, detail=error.message, seq=record.seq,
                     generation=raised.generation)  # fmt: skip
        if lost:
            said = {"to": record.seq, "cause": error.code, "generation": raised.generation}
            session.tell("rolled_back", said, cursor=Cursor(raised.generation, 0))
        await self._go_on(raised)

    async def _go_on(self, raised: Raised) -> None:
        session = self._session
        if session.requests:
            await self._provide(raised)
            return
        await self._services.store.publish(session.id, raised, None)
        session.no_worker()
        if session.requests:
            # One came while the store was told that there is no worker.
            session.connect()

    async def _park(self) -> None:
        session = self._session
        record = await self._record()
        raised = await self._raise(record)
        session.unlink()
        if record.worker is not None:
            self.end_worker(record.worker)
        session.tell("status", {"status": "parked", "cause": "idle"})
        session.record = await self._record()
        await self._go_on(raised)

    async def _answer_open(self, record: Record, uncommitted: tuple[Outcome, ...], error: WireError) -> bool:
        """Each open request that was dispatched ends now; whether anything that was told live did not happen."""
        session = self._session
        lost = bool(session.kept) or any(outcome.seq > record.seq for outcome in uncommitted)
        session.kept.clear()
        for pending in [item for item in session.requests.all() if item.dispatched]:
            if not (pending.numbered and await self._stored(pending)):
                lost = lost or pending.numbered
                session.requests.fail(pending, _for_request(error, record))
        return lost

    async def _stored(self, pending: Pending) -> bool:
        """Answer from the store, if it has the outcome."""
        session = self._session
        found = await self._services.store.outcome(session.id, pending.request.id)
        if found is None:
            return False
        seq, blob = found
        entry = json.loads(self._services.vault.open_entry(session.policy.tenant, session.id, seq, blob))
        result = entry["result"]
        if entry["type"] != pending.request.type:
            session.requests.fail(pending, WireError("conflict", "the id was used with another body"))
        elif "error" in result and entry["type"] != "eval":
            session.requests.fail(pending, WireError(result["error"]["code"], result["error"]["message"]))
        else:
            payload = with_commit(result, seq=seq, state="committed", durable=self._services.facts.durable, etag=None)
            session.requests.answer(pending, terminal_type(entry["type"]), payload)
        return True

    async def _answer_from_store(self, pending: Pending) -> None:
        try:
            if not await self._stored(pending):
                self._session.requests.fail(
                    pending, WireError("outcome_unknown", "the outcome of this id is no longer kept")
                )
        except WireError as error:
            self._session.requests.fail(pending, error)


def _number(welcome: dict[str, Any], name: str) -> int:
    number = welcome.get(name)
    if not isinstance(number, int) or not 0 <= number < 2**63:
        raise WireError("worker_protocol_error", f"a welcome without a number for {name}")
    return number


def _for_request(error: WireError, record: Record) -> WireError:
    return WireError(error.code, error.message, seq=record.seq, generation=record.generation)


def _words_of(fate: WorkerFate, told: dict[str, Any]) -> WireError:
    if fate.memory_killed:
        return WireError("memory_limit", "the worker used more memory than it may")
    if told.get("code") in ERROR_CODES:
        return WireError(str(told["code"]), str(told.get("message", ""))[:1000])
    how = f" (exit status {fate.exit_code})" if fate.exit_code is not None else ""
    return WireError("worker_died", f"the worker was killed{how}")
