"""A client that comes back: what it missed since its cursor first, then live events, without a hole between the two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.core.encoding import to_text
from orchestrator.core.session import Record, visible_to
from orchestrator.engine.going_back import REWOUND
from orchestrator.engine.link import Link
from orchestrator.engine.phase import Phase
from orchestrator.engine.requests import ConsumedCallback, Subscriber
from orchestrator.engine.services import Services
from orchestrator.engine.settling import undone_after
from replwire.cursors import Cursor
from replwire.envelopes import Json, envelope
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
        """What was missed since the cursor, then live events."""
        async with self._lock:
            if cursor is not None:
                await self._catch_up(subscriber, cursor)
            self._subscribe(subscriber)

    def _subscribe(self, subscriber: Subscriber) -> None:
        if subscriber not in self._session.subscribers:
            self._session.subscribers.append(subscriber)

    async def _catch_up(self, subscriber: Subscriber, cursor: Cursor) -> None:
        session, record = self._session, await self._settled_record()
        after = cursor.number
        if cursor.generation > record.generation:
            # We made it, so the store has been there: it is an older one now.
            self._roll_back(subscriber, record, record.seq, "session_regressed")
            after = 0
        elif cursor.generation < record.generation:
            self._announce_older(subscriber, cursor, record)
            after = 0
        if session.link is not None and session.record.generation == record.generation:
            await self._replay(subscriber, session.link, Cursor(record.generation, after))

    async def _settled_record(self) -> Record:
        """The record at a moment when nobody is on the way to a worker: until then it isn't known whether the events
        of this generation will come again."""
        session = self._session
        while True:
            await session.settled()
            record = visible_to(await self._services.store.read(session.id), session.policy.tenant, session.id)
            if session.phase is not Phase.CONNECTING:
                return record

    async def _replay(self, subscriber: Subscriber, link: Link, after: Cursor) -> None:
        def is_complete(said: dict[str, Any]) -> None:
            first = said.get("first")
            oldest = first if isinstance(first, int) else self._session.last_event.number + 1
            if oldest > after.number + 1:
                self._announce_gap(subscriber, after, Cursor(after.generation, oldest - 1))
            # At once: the event behind this answer is live.
            self._subscribe(subscriber)

        self._listener = subscriber
        try:
            await link.call(Kind.REPLAY, (COUNT.pack(after.number),), then=is_complete)
        finally:
            self._listener = None

    def replayed(self, text: str, cost_bytes: int, consumed: ConsumedCallback) -> None:
        """An event that is sent again: for the one who asked."""
        if self._listener is not None:
            self._listener.deliver(text)
        consumed(cost_bytes)

    def _announce_older(self, subscriber: Subscriber, cursor: Cursor, record: Record) -> None:
        """What the client saw of workers that are gone: undone, or no longer kept."""
        committed = Cursor(cursor.generation, record.last_events.get(cursor.generation, 0))
        if cursor > committed:
            seqs = [seq for generation, seq in record.last_seqs.items() if generation <= cursor.generation]
            if record.cause == REWOUND and cursor.generation == record.generation - 1:
                self._roll_back(subscriber, record, undone_after(record), REWOUND)
            else:
                self._roll_back(subscriber, record, max(seqs, default=0), "worker_died")
        seen = min(cursor, committed)
        older = [Cursor(*item) for item in record.last_events.items() if item[1] and item[0] < record.generation]
        newest = max(older, default=seen)
        if newest > seen:
            self._announce_gap(subscriber, seen, newest)

    def _roll_back(self, subscriber: Subscriber, record: Record, to: int, cause: str) -> None:
        said = {"to": to, "cause": cause, "generation": record.generation}
        self._say(subscriber, "rolled_back", said, Cursor(record.generation, 0))

    def _announce_gap(self, subscriber: Subscriber, first: Cursor, last: Cursor) -> None:
        self._say(subscriber, "gap", {"from": str(first), "to": str(last)})

    def _say(self, subscriber: Subscriber, type_: str, payload: Json, cursor: Cursor | None = None) -> None:
        said = str(cursor) if cursor else None
        now = self._services.clock.now()
        subscriber.deliver(to_text(envelope(type_, payload, now, session=self._session.id, cursor=said)))
