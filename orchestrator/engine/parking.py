"""A session is parked: its worker agrees to end, and the store is told in one step (durability.md, "Park").

The agent is asked because another front door may have sent it something; the store is told at a seq and a generation
because another one may have committed or replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from orchestrator.engine.services import Services
from orchestrator.ports import Raised
from replwire.errors import WireError
from replwire.frames import COUNT, Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")


class Parker:
    """Of one `LiveSession`."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session

    async def park(self, idle_s: float) -> bool:
        """Whether the worker, idle for so long, has agreed and the store knows that the session has none any more."""
        began = self._services.clock.monotonic()
        try:
            # Before the worker is asked: whatever stops us then, the store takes no agreement that has run out.
            until = await self._services.store.now() + self._services.config.park_ms / 1000
            seq = await self._agreed(idle_s)
            if seq is None or not await self._is_stored(seq, until):
                return False
        except WireError as error:
            # When the store did it and its answer is lost, the worker's next commit or refused request tells.
            _log.warning("not parked", session_id=self._session.id, cause=error.message)
            return False
        self._services.metrics.park_seconds.observe(self._services.clock.monotonic() - began)
        return True

    async def _agreed(self, idle_s: float) -> int | None:
        """The last seq of a worker that agrees to end; None when it has something to do."""
        link = self._session.link
        if link is None:
            return None
        times = (COUNT.pack(int(idle_s * 1000)), COUNT.pack(self._services.config.park_ms))
        said = await link.call(Kind.PARK, times)
        seq = said.get("seq")
        return seq if said.get("status") == "parking" and isinstance(seq, int) else None

    async def _is_stored(self, seq: int, until: float) -> bool:
        record = self._session.record
        return await self._services.store.park(record.session, Raised(record.generation, record.nonce), seq, until)
