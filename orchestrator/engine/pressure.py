"""Room for one more worker, when there are as many as there may be: the session that was idle for longest is parked.

A session with names that no checkpoint keeps is parked last, and only when its policy allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from orchestrator.engine.phase import Phase
from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.sessions")


class Pressure:
    """Over the sessions in hand on this front door."""

    def __init__(self, services: Services, live: Callable[[], Iterable[LiveSession]]) -> None:
        self._services = services
        self._live = live
        self._parking: set[LiveSession] = set()

    @property
    def room(self) -> int:
        """How many more workers may be started."""
        return max(0, self._services.config.workers_max - len(self._services.runtime.own))

    def relieve(self, waiting: int) -> None:
        """Park as many sessions as it takes, beside the workers that end already, if there are any that may be."""
        self._parking = {session for session in self._parking if session.phase is Phase.CONNECTING}
        coming = self.room + self._services.runtime.ending + len(self._parking)
        for _ in range(waiting - coming):
            session = min(filter(_may_park, self._live()), key=_rank, default=None)
            if session is None or not session.park(0.0):
                return
            self._parking.add(session)
            self._services.metrics.parked_for_room.inc()
            _log.info("session parked for room", session_id=session.id, unsaved=session.holds_unsaved)


def _may_park(session: LiveSession) -> bool:
    keeps = session.policy.durability != "none"
    is_idle = session.phase is Phase.LINKED and not session.is_busy
    return keeps and is_idle and session.parks_by_itself


def _rank(session: LiveSession) -> tuple[bool, float]:
    return session.holds_unsaved, session.last_used
