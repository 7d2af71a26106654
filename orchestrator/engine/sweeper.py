"""Background duties: parking the idle, ending the expired, pinging the busy, reaping workers that belong to nobody, and
looking after what nobody has in hand (`left_behind`)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import structlog

from orchestrator.engine.left_behind import LeftBehind
from orchestrator.engine.phase import Phase
from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession
from orchestrator.engine.sessions import Sessions
from replwire.errors import WireError
from replwire.frames import Kind

_log = structlog.get_logger("bascule.sweeper")

ROUNDS_BETWEEN_STORE_SWEEPS: Final = 6
"""Sessions in nobody's hand, workers of servers that died and chunks that nobody committed are looked at less often."""

PINGS: Final = 2
"""Unanswered ones before a worker counts as frozen: of a server that was itself stopped for a while, the first one has
expired before its answer is read."""


class Sweeper:
    """One task; a round that fails is logged and the next one comes."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._task: asyncio.Task[None] | None = None
        self._is_reaped = False
        """Whether the workers of before us have been looked at."""
        self._left_behind = LeftBehind(services, sessions)

    def start(self) -> None:
        """Begin the rounds."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the rounds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def reap(self) -> int:
        """End every worker that is no current generation of any session, neither ours nor another server's that lives;
        how many there were. When the store is away at start, a later round does it.

        They are listed first: what a session gets later is not among them, and what it got before is in its record.
        """
        runtime = self._services.runtime
        found = frozenset(await runtime.list_workers()) - runtime.own
        current = {
            record.worker.worker async for record in self._services.store.sessions() if record.worker is not None
        }
        orphans = sorted(found - current)
        for worker in orphans:
            await runtime.stop(worker)
            self._services.metrics.orphans_reaped.inc()
        self._is_reaped = True
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
        await asyncio.gather(self._ask_store(rounds), *(self._guarded(session) for session in self._sessions.live))
        self._sessions.fill_pools()

    async def _ask_store(self, rounds: int) -> None:
        services = self._services
        await services.ask_store()
        live = self._sessions.live
        linked = frozenset(session.id for session in live if session.phase is Phase.LINKED)
        await services.store.touch([session.id for session in live], linked)
        is_thorough = rounds % ROUNDS_BETWEEN_STORE_SWEEPS == 0
        if is_thorough or not self._is_reaped:
            await self.reap()
        if is_thorough:
            await self._left_behind.look()
        if is_thorough and await self._is_ours("chunks"):
            await services.store.sweep_chunks()

    async def _guarded(self, session: LiveSession) -> None:
        """One session's trouble is not the others'."""
        try:
            await self._look_at(session)
        except WireError as error:
            _log.warning("sweep failed", session_id=session.id, cause=error.message)

    async def _look_at(self, session: LiveSession) -> None:
        if session.phase is Phase.ENDED:
            self._sessions.let_go(session)
            return
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
        elif session.phase is Phase.LINKED and session.parks_by_itself:
            session.park(session.policy.idle_timeout_s)
        elif session.phase is Phase.NONE and not session.subscribers:
            self._sessions.let_go(session)

    async def _ping(self, session: LiveSession) -> None:
        """A worker that does not answer although its agent has nothing else to do is frozen."""
        link = session.link
        if link is None:
            return
        for _ in range(PINGS):
            try:
                await link.call(Kind.PING)
                return
            except WireError as error:
                if error.code != "worker_unresponsive" or session.link is not link:
                    return
        session.replace_worker("worker_unresponsive", "the worker stopped answering")

    async def _is_ours(self, duty: str) -> bool:
        """Whether this front door, and no other, has this duty now."""
        services = self._services
        period_s = max(1, int(services.config.sweep_interval_s * ROUNDS_BETWEEN_STORE_SWEEPS))
        return await services.store.spend(hashlib.sha256(duty.encode()).hexdigest(), period_s)
