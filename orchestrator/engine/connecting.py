"""What a session does about its worker, one thing at a time: find one, provide one, replace it, let it end.

Raise first, read afterwards: only then is what the store says final, because a commit of the old generation may be
on its way (durability.md, "Replace, park, wake"). Whoever loses the compare-and-set looks again at what the others did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from orchestrator import faults
from orchestrator.core.outcomes import Outcome
from orchestrator.core.session import Record, WorkerAddress, visible_to
from orchestrator.engine.adopting import Adopter
from orchestrator.engine.parking import Parker
from orchestrator.engine.restoring import Restorer
from orchestrator.engine.seeking import Seeker
from orchestrator.engine.services import Services
from orchestrator.engine.settling import Settler, rewound
from orchestrator.ports import Raised
from replwire.errors import ERROR_CODES, WireError

REREAD_AFTER_S: Final = 0.05
"""How soon we look what became of a worker that refused a request because it is about to end."""

if TYPE_CHECKING:
    from orchestrator.engine.requests import Pending
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")


class Connector:
    """The tasks of one `LiveSession`: one of them at a time decides about its worker."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._restorer = Restorer(services)
        self._settler = Settler(services, session)
        self._adopter = Adopter(services, session)
        self._seeker = Seeker(
            services, self._settler, self._adopter, self._record, self._replace_worker, self._provide_first, self._rests
        )
        self._parker = Parker(services, session)
        self._is_eager = False
        """Whether a worker is wanted although no request waits."""
        self._task: asyncio.Task[None] | None = None
        self._side_tasks: set[asyncio.Task[None]] = set()

    # --- what the session asks ----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Adopt or restore."""
        self._is_eager = True
        self._decide(self._connect())

    def replace(self, code: str, message: str) -> None:
        """End the worker, answer what it owed, go on if anything waits."""
        self._is_eager = False
        self._decide(self._replace(WireError(code, message)))

    def investigate(self, cause: str, told: dict[str, Any]) -> None:
        """The link was lost: find out whether the worker was. `cause`: what the worker did wrong, if it did."""
        self._is_eager = False
        if cause:
            code, _, words = cause.partition(": ")
            self.replace(code if code in ERROR_CODES else "worker_unresponsive", words or cause)
        else:
            self._decide(self._seeker.seek(told))

    def park(self, idle_s: float) -> None:
        """End the worker, if it agrees and has been idle for so long; the session goes on when it is asked again."""
        self._is_eager = False
        self._decide(self._park(idle_s))

    def reread(self) -> None:
        """The worker begins nothing any more: another front door lets it end, or was about to."""
        self._decide(self._reread())

    def rewound(self, raised: Raised) -> None:
        """The session went back to an earlier state, and the generation was raised with it."""
        self._decide(self._rewound(raised))

    def answer_from_store(self, pending: Pending) -> None:
        """The id was committed before: its stored outcome is the answer."""
        self.aside(self._settler.answer_from_store(pending))

    def tell_committed(self, outcome: Outcome, *, was_kept: bool) -> None:
        """Another front door has committed this."""
        self.aside(self._settler.tell_committed(outcome, was_kept=was_kept))

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
        # A decision that another one takes the place of may never have begun.
        self._task.add_done_callback(lambda _: work.close())

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

    async def _record(self) -> Record:
        session = self._session
        found = await self._services.store.read(session.id)
        if found is None:
            raise WireError("session_gone", "the store does not have this session any more", session=session.id)
        return visible_to(found, session.policy.tenant, session.id)

    async def _record_since(self, raised: Raised) -> Record:
        """As it is after a raise: only then is it final. A store that does not show the raise has gone back."""
        record = await self._record()
        is_ours = (record.generation, record.nonce) == (raised.generation, raised.nonce)
        if record.generation < raised.generation or (record.generation == raised.generation and not is_ours):
            raise WireError("session_regressed", "the store has gone back to before the worker was replaced")
        return record

    # --- a worker for a session that has none -------------------------------------------------------------------

    async def _connect(self) -> None:
        """The first worker of a session needs nothing to be read: nothing can have been committed without one."""
        if self._session.record.generation or not await self._provide_as_read(self._session.record):
            await self._seeker.seek({})

    async def _raise(self, seen: Record, cause: str) -> Raised | None:
        """What was seen has a worker, which is over, or none: then one that was published meanwhile stays."""
        services, vacant = self._services, seen.worker is None
        session, deadline_s = self._session.id, services.config.replace_deadline_s
        faults.mark("before-raise")
        raised = await services.store.raise_generation(
            session, seen.generation, services.server, deadline_s, cause, vacant=vacant, above=self._session.highest
        )
        faults.mark("after-raise")
        return raised

    async def _provide_first(self, record: Record) -> bool:
        """False when another front door has begun to."""
        raised = await self._raise(record, "")
        if raised is None:
            return False
        record = await self._record_since(raised)
        await self._settler.settle(record, WireError("worker_died", "the worker is gone"))
        return await self._provide(raised, record)

    async def _provide_as_read(self, record: Record) -> bool:
        raised = await self._raise(record, "")
        return raised is not None and await self._provide(raised, record)

    async def _provide(self, raised: Raised, record: Record) -> bool:
        """A worker for this generation, with the last committed state in it: the record was read after the raise. False
        when it took so long that another front door has raised again."""
        session = self._session
        session.committer.stop()
        restored = await self._restorer.provide(session, record, raised)
        if restored is None:
            return False
        session.committer = session.new_committer(restored.record, restored.references)
        session.lost = restored.lost
        session.linked(restored.record, restored.link, 0)
        _log.info(
            "worker claimed", session_id=session.id, generation=raised.generation, worker=restored.worker.worker,
            seq=record.seq, lost=len(restored.lost),
        )  # fmt: skip
        if restored.lost:
            session.tell("status", {"status": "ready", "cause": "restored", "unsaved": restored.lost})
        return True

    # --- replace ------------------------------------------------------------------------------------------------

    async def _replace(self, error: WireError) -> None:
        record = await self._record()
        if await self._settler.settle_if_moved(record) or not await self._replace_worker(record, error):
            # Another front door was faster: its worker is the session's.
            await self._seeker.seek({})

    async def _replace_worker(self, record: Record, error: WireError) -> bool:
        """End the worker of this record and go on from the last commit; False when another front door was faster."""
        session, old = self._session, record.worker
        raised = await self._raise(record, error.code)
        if raised is None:
            return False
        self._services.metrics.replacements.labels(error.code).inc()
        session.dismiss()
        if old is not None:
            self.end_worker(old)
        record = await self._record_since(raised)
        await self._settler.settle(record, error)
        _log.warning("worker replaced", session_id=session.id, cause=error.code, detail=error.message, seq=record.seq,
                     generation=raised.generation)  # fmt: skip
        return await self._go_on(raised, record, error.message)

    async def _go_on(self, raised: Raised, record: Record, cause: str) -> bool:
        session = self._session
        if session.requests:
            return await self._provide(raised, record)
        await self._services.store.publish(session.id, raised, None)
        self._rest(cause)
        return True

    def _rests(self) -> bool:
        session = self._session
        if session.requests or self._is_eager:
            return False
        self._rest(session.record.cause or "idle")
        return True

    def _rest(self, cause: str) -> None:
        """There is no worker and nobody needs one."""
        session = self._session
        session.no_worker()
        session.tell("status", {"status": "parked", "cause": cause})
        if session.requests:
            # One came while the store was told that there is no worker.
            session.connect()

    async def _rewound(self, raised: Raised) -> None:
        session, old = self._session, self._session.record.worker
        session.dismiss()
        record = await self._record_since(raised)
        await self._settler.settle(record, rewound())
        if old is not None:
            self.end_worker(old)
        self._is_eager = True
        if record.generation != raised.generation or not await self._provide(raised, record):
            await self._seeker.seek({})

    # --- park ---------------------------------------------------------------------------------------------------

    async def _park(self, idle_s: float) -> None:
        session, record = self._session, self._session.record
        is_parked = await self._parker.park(idle_s)
        if not is_parked and session.link is not None and not session.link.lost:
            session.linked_again()
            return
        if is_parked:
            session.dismiss()
            if record.worker is not None:
                self.end_worker(record.worker)
            await self._settler.settle(await self._record(), WireError("worker_died", "the worker was parked"))
            if self._rests():
                return
        await self._seeker.seek({})

    async def _reread(self) -> None:
        """Its refusals end some time after the other front door gave up, if it did."""
        self._session.unlink()
        await asyncio.sleep(REREAD_AFTER_S)
        await self._seeker.seek({})
