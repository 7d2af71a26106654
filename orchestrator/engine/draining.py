"""The end of a front door in order: no new work, what runs may end and be committed, everybody hears how it goes on.

A client that waits for nothing is told at once to come back elsewhere. A worker that can't outlive this process is
parked as soon as its session is idle, so that the next front door need not find out that it died. When the time is
over, what still runs goes on under its id in a worker that outlives us; in another one it is undone, and its client is
told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from orchestrator.engine.conversation import GOING_AWAY_RETRY_MS, Conversation
from orchestrator.engine.phase import Phase
from orchestrator.engine.requests import Pending
from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession
from replwire.errors import WireError

DRAIN_POLL_S: Final = 0.02
"""Between looks at what still runs."""

OVERDUE_S: Final = 3.0
"""For what was still running when the time was over: to be ended, and told so. One call of the store fits in it."""

_LATER: Final = {"retry_after_ms": GOING_AWAY_RETRY_MS}
_AGAIN: Final = "this front door is going away; ask again by the same id"
_GOES_ON: Final = "this front door is going away; its worker goes on with it: ask again by the same id"
_UNDONE: Final = "this front door went away before it ended, and its worker with it"

_log = structlog.get_logger("bascule.engine")


class Drain:
    """Of one engine, once. `conversations` is looked at again and again."""

    def __init__(
        self, services: Services, live: Callable[[], Collection[LiveSession]], conversations: Collection[Conversation]
    ) -> None:
        self._services = services
        self._live = live
        self._conversations = conversations
        self._goodbyes: dict[Conversation, asyncio.Task[None]] = {}
        self._parked: set[str] = set()
        """Sessions whose worker was asked to end, whatever came of it."""

    async def run(self, timeout_s: float) -> None:
        """Until nobody of ours is left: `timeout_s` and `OVERDUE_S` at the longest, and what goodbyes take."""
        self._services.draining = True
        overdue = 0 if await self._is_idle_in_time(timeout_s) else await self._end_overdue()
        self._send_away(self._conversations)
        await asyncio.gather(*self._goodbyes.values(), return_exceptions=True)
        _log.info("drained", clients=len(self._goodbyes), parked=len(self._parked), overdue=overdue)

    async def _is_idle_in_time(self, timeout_s: float) -> bool:
        """A bounded poll: sessions become idle in many places, and a drain happens once."""
        clock = self._services.clock
        deadline = clock.monotonic() + timeout_s
        while True:
            self._park_idle()
            at_work = [talk for talk in self._conversations if _awaits_something(talk)]
            if not at_work and not any(map(_is_at_work, self._live())):
                return True
            self._send_away([talk for talk in self._conversations if talk not in at_work])
            if clock.monotonic() >= deadline:
                return False
            await asyncio.sleep(DRAIN_POLL_S)

    def _park_idle(self) -> None:
        for session in self._live():
            if session.id not in self._parked and self._dies_with_us(session) and session.park(0.0):
                self._parked.add(session.id)

    def _dies_with_us(self, session: LiveSession) -> bool:
        runtime, worker = self._services.runtime, session.record.worker
        return not runtime.survives_server and worker is not None and worker.worker in runtime.own

    def _send_away(self, conversations: Collection[Conversation]) -> None:
        for talk in conversations:
            if talk not in self._goodbyes:
                self._goodbyes[talk] = asyncio.create_task(talk.go_away())

    # --- when the time is over ----------------------------------------------------------------------------------

    async def _end_overdue(self) -> int:
        """How many requests did not end in time."""
        sessions = [session for session in self._live() if _is_at_work(session)]
        overdue = sum(len(session.requests.all()) for session in sessions)
        dying = [session for session in sessions if self._dies_with_us(session)]
        for session in sessions:
            self._end(session)
        try:
            async with asyncio.timeout(OVERDUE_S):
                while any(session.requests or session.phase is Phase.CONNECTING for session in dying):
                    await asyncio.sleep(DRAIN_POLL_S)
        except TimeoutError:
            _log.warning("drain cut short", sessions=len(dying))
        for session in sessions:
            _fail_all(session)
        return overdue

    def _end(self, session: LiveSession) -> None:
        for pending in session.requests.all():
            if not pending.dispatched:
                session.requests.refuse(pending, _ask_again())
        if self._dies_with_us(session):
            session.replace_worker("rolled_back", _UNDONE)
        else:
            for pending in session.requests.all():
                session.requests.fail(pending, WireError("draining", _GOES_ON, dispatched=True, **_LATER))


def _awaits_something(talk: Conversation) -> bool:
    """Whether a client may still be answered, or told of something that runs."""
    return talk.is_answering or any(map(_is_at_work, talk.in_touch))


def _is_at_work(session: LiveSession) -> bool:
    """Whether something of it runs, waits, is not committed yet, or is being decided about its worker."""
    return session.phase is not Phase.ENDED and (session.is_busy or session.phase is Phase.CONNECTING)


def _fail_all(session: LiveSession) -> None:
    for pending in session.requests.all():
        session.requests.fail(pending, _unknown(pending))


def _unknown(pending: Pending) -> WireError:
    if not pending.dispatched:
        return _ask_again()
    return WireError("outcome_unknown", "this front door went away before it knew whether it took effect")


def _ask_again() -> WireError:
    return WireError("draining", _AGAIN, **_LATER)
