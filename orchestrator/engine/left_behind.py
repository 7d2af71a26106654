"""Sessions that no front door has in hand: the implicit ones end, and a worker that nobody is linked to is attached to.

A front door may die between an eval and its commit, and no client may come back: the agent still has the outcome. How
long nobody cared is measured here, for the store's clock is another one.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from orchestrator.core.session import Record, with_all_limits
from orchestrator.engine.services import Services
from orchestrator.engine.sessions import Sessions
from replwire.errors import WireError

_log = structlog.get_logger("bascule.sweeper")


class _Met(NamedTuple):
    """What the record said, and since when, by our clock."""

    seen_at: float
    seen_since: float
    linked_at: float
    linked_since: float


class LeftBehind:
    """Of one front door; each of them looks, and what two of them do at once is harmless."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._met: dict[str, _Met] = {}

    async def look(self) -> None:
        """Once over all open sessions. Raises `WireError` when the store does not answer."""
        before, self._met = self._met, {}
        in_hand = {session.id for session in self._sessions.live}
        async for record in self._services.store.sessions():
            if record.session not in in_hand and (record.policy.implicit or record.worker is not None):
                self._met[record.session] = met = self._meet(record, before.get(record.session))
                await self._care(record, met)

    def _meet(self, record: Record, before: _Met | None) -> _Met:
        now = self._services.clock.monotonic()
        if before is None:
            return _Met(record.seen_at, now, record.linked_at, now)
        return _Met(
            record.seen_at,
            before.seen_since if before.seen_at == record.seen_at else now,
            record.linked_at,
            before.linked_since if before.linked_at == record.linked_at else now,
        )

    async def _care(self, record: Record, met: _Met) -> None:
        now = self._services.clock.monotonic()
        limits = with_all_limits(record.policy, self._services.config.limits).limits
        if record.policy.implicit and now - met.seen_since > limits["implicit_session_ttl_s"]:
            await self._sessions.end_by_record(record, "its connection has gone")
        elif record.worker is not None and now - met.linked_since > self._services.config.worker_lost_ms / 1000:
            await self._attach(record)

    async def _attach(self, record: Record) -> None:
        try:
            session = await self._sessions.find(record.session, record.policy.tenant)
        except WireError as error:
            _log.warning("session left alone", session_id=record.session, cause=error.message)
            return
        _log.info("session taken in hand", session_id=record.session)
        session.look_after()
