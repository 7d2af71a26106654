"""A client that comes back: what it missed since its cursor first, then live events, without a hole between the two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.core.encoding import to_text
from orchestrator.core.session import Record, visible_to
from orchestrator.engine.requests import ConsumedCallback, Subscriber
from orchestrator.engine.services import Services
from replwire.cursors import Cursor
from replwire.envelopes import Json, envelope
from replwire.errors import WireError
from replwire.frames import COUNT, Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession


class CatchUp:
    """Of one `LiveSession`; one client at a time, for the agent answers with the same frames for all."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._listener: Subscriber | None = None
        self._lock = asyncio.Lock()

    async def attach(self, subscriber: Subscriber, cursor: Cursor | None) -> None:
        """Raises `WireError` when the cursor is none of this session's."""
        async with self._lock:
            if cursor is not None:
                await self._catch_up(subscriber, cursor)
            if subscriber not in self._session.subscribers:
                self._session.subscribers.append(subscriber)

    async def _catch_up(self, subscriber: Subscriber, cursor: Cursor) -> None:
        session = self._session
        record = visible_to(await self._services.store.read(session.id), session.policy.tenant, session.id)
        if cursor.generation > record.generation:
            raise WireError("bad_message", "this cursor lies in the future", field="payload.cursor")
        after = cursor.number
        if cursor.generation < record.generation:
            self._announce_older(subscriber, cursor, record)
            after = 0
        if session.link is not None and session.record.generation == record.generation:
            await self._replay(subscriber, record.generation, after)

    async def _replay(self, subscriber: Subscriber, generation: int, after: int) -> None:
        session = self._session
        if session.link is None:
            return
        self._listener = subscriber
        try:
            reply = await session.link.call(Kind.REPLAY, (COUNT.pack(after),))
        finally:
            self._listener = None
        first = reply.get("first")
        oldest = first if isinstance(first, int) else session.last_event.number + 1
        if oldest > after + 1:
            self._announce_gap(subscriber, Cursor(generation, after), Cursor(generation, oldest - 1))

    def replayed(self, text: str, cost_bytes: int, consumed: ConsumedCallback) -> None:
        """An event that is sent again: for the one who asked."""
        if self._listener is not None:
            self._listener.deliver(text)
        consumed(cost_bytes)

    def _announce_older(self, subscriber: Subscriber, cursor: Cursor, record: Record) -> None:
        """What the client saw of a worker that is gone: undone, or no longer kept."""
        last_committed = record.last_events.get(cursor.generation, 0)
        if cursor.number > last_committed:
            to = record.last_seqs.get(cursor.generation, record.seq)
            said = {"to": to, "cause": "worker_died", "generation": record.generation}
            self._say(subscriber, "rolled_back", said)
        elif cursor.number < last_committed:
            self._announce_gap(subscriber, cursor, Cursor(cursor.generation, last_committed))

    def _announce_gap(self, subscriber: Subscriber, first: Cursor, last: Cursor) -> None:
        self._say(subscriber, "gap", {"from": str(first), "to": str(last)})

    def _say(self, subscriber: Subscriber, type_: str, payload: Json) -> None:
        subscriber.deliver(to_text(envelope(type_, payload, self._services.clock.now(), session=self._session.id)))
