"""Background duties: parking the idle, ending the expired, reaping workers that belong to nobody, pinging the busy."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession, Phase
from orchestrator.engine.sessions import Sessions
from replwire.errors import WireError
from replwire.frames import Kind

_log = structlog.get_logger("bascule.sweeper")

ROUNDS_BETWEEN_STORE_SWEEPS: Final = 6
"""Sessions that are in nobody's hand, and chunks that nobody committed, are looked at less often."""


class Sweeper:
    """One task; a round that fails is logged and the next one comes."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the rounds."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the rounds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def reap(self) -> int:
        """End every worker with our label that is no current generation of any session; how many there were.

        Run once at start: later, the workers that are no session's are the pool's.
        """
        current = {
            record.worker.worker async for record in self._services.store.sessions() if record.worker is not None
        }
        orphans = [worker for worker in await self._services.runtime.list_workers() if worker not in current]
        for worker in orphans:
            await self._services.runtime.stop(worker)
            self._services.metrics.orphans_reaped.inc()
        if orphans:
            _log.info("orphans reaped", count=len(orphans))
        return len(orphans)

    async def _run(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(self._services.config.sweep_interval_s)
            rounds += 1
            try:
                await self._round(rounds)
            except WireError as error:
                _log.warning("sweep failed", cause=error.message)
            except Exception:  # noqa: BLE001 - the end of a round; the next one must come
                _log.exception("sweep failed")

    async def _round(self, rounds: int) -> None:
        self._services.facts = await self._services.store.facts()
        live = self._sessions.live
        await self._services.store.touch([session.id for session in live])
        for session in live:
            await self._look_at(session)
        self._sessions.fill_pools()
        if rounds % ROUNDS_BETWEEN_STORE_SWEEPS == 0:
            await self._end_expired()
            await self._services.store.sweep_chunks()

    async def _look_at(self, session: LiveSession) -> None:
        unused_s = self._services.clock.monotonic() - session.last_used
        if session.policy.implicit and not session.subscribers and not session.requests:
            if unused_s > session.policy.limits["implicit_session_ttl_s"]:
                await self._sessions.end(session, "its connection has gone")
        elif session.requests:
            await self._ping(session)
        elif unused_s > session.policy.idle_timeout_s:
            await self._rest(session)

    async def _rest(self, session: LiveSession) -> None:
        if session.phase is Phase.LINKED and session.policy.durability == "none":
            await self._sessions.end(session, "idle, and nothing of it is kept")
        elif session.phase is Phase.LINKED:
            session.park()
        elif session.phase is Phase.NONE and not session.subscribers:
            self._sessions.let_go(session)

    async def _ping(self, session: LiveSession) -> None:
        """A worker that does not answer although its agent has nothing else to do is frozen."""
        link = session.link
        if link is None:
            return
        try:
            await link.call(Kind.PING)
        except WireError as error:
            if error.code == "worker_unresponsive" and session.link is link:
                session.replace_worker("worker_unresponsive", "the worker stopped answering")

    async def _end_expired(self) -> None:
        """Implicit sessions whose front door died before it could end them."""
        in_hand = {session.id for session in self._sessions.live}
        now = self._services.clock.now()
        async for record in self._services.store.sessions():
            ttl_s = 2 * record.policy.limits["implicit_session_ttl_s"]
            if record.policy.implicit and record.session not in in_hand and now - record.seen_at > ttl_s:
                await self._sessions.end_by_record(record, "its connection has gone")
