"""What the server sends, in order: answers to those who asked, events once each, and what they say of the session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from bascule.dialling import envelope_of
from bascule.errors import BasculeError, error_of
from bascule.events import Committed, Event, Gap, GoingAway, RolledBack, event_of, place_of
from bascule.kept import KeptResults
from bascule.requests import Json, Pending, Requests
from replwire.cursors import Cursor

OnEvent = Callable[[Event], object]

_TERMINALS: Final = frozenset({"result", "reply", "pong", "error"})

_log = logging.getLogger("bascule")


class Lost(Exception):
    """This connection is of no use any more, and another one may be."""

    def __init__(self, reason: str, *, close_code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.retry_after = retry_after


class Inbox:
    """Of one session, over all its connections."""

    def __init__(self, requests: Requests, on_event: OnEvent | None) -> None:
        self._requests = requests
        self._on_event = on_event
        self._hole: Cursor | None = None
        self.kept = KeptResults()
        self.cursor: Cursor | None = None
        """Of the last event: all up to it have been passed on."""
        self.generation = 0
        self.seq = 0
        """Of the last commit that we know of, and its etag."""
        self.etag = ""
        self.keeps = True
        """False for a session without commits: what is told as `kept` stays so."""
        self.catching_up = False
        """While `attach` is on its way, what is said to be lost is."""
        self.retry_after: float | None = None
        """What a front door that goes away asked for."""
        self.undone_by = "worker_died"
        """Cause of the last roll-back."""

    def received(self, data: str) -> None:
        """One message. Raises `Lost`."""
        envelope = envelope_of(data)
        if envelope is None:
            raise Lost("the server sent what is no message")
        if envelope.get("type") in _TERMINALS:
            self._ended(envelope)
            return
        try:
            event = event_of(envelope)
        except (KeyError, TypeError, ValueError):
            raise Lost("the server sent a malformed event") from None
        if event is not None:
            self._happened(event, len(data))

    # --- answers ------------------------------------------------------------------------------------------------

    def _ended(self, envelope: Json) -> None:
        pending = self._requests.get(envelope.get("id"))
        if pending is None:
            return
        said: Json = envelope.get("payload", {})
        if envelope["type"] != "error":
            self._answered(pending, said)
            return
        error = error_of(said)
        if error.code == "draining":
            self._turned_away(pending, error)
        else:
            self._refused(pending, error)

    def _turned_away(self, pending: Pending, error: BasculeError) -> None:
        """The next front door knows its id as well as this one. It was not begun, unless that is said, or it was sent
        to another front door before. Raises `Lost` when nothing else is on its way here."""
        pending.repeated = pending.repeated or bool(error.details.get("dispatched"))
        pending.sent = pending.repeated
        if not any(other.sent for other in self._requests):
            raise Lost(error.message, retry_after=error.retry_after)

    def _goes_away(self, event: GoingAway) -> None:
        """What has no answer by now was not begun here."""
        self.retry_after = event.retry_after
        for pending in self._requests:
            pending.sent = pending.sent and pending.repeated

    def _refused(self, pending: Pending, error: BasculeError) -> None:
        self._requests.forget(pending)
        if pending.type == "input" and pending.repeated and error.code == "not_found":
            pending.succeed({"status": "delivered"})  # by the connection that is gone
            return
        self.kept.fail(pending.id, error)
        pending.fail(error)

    def _answered(self, pending: Pending, said: Json) -> None:
        self._requests.forget(pending)
        if pending.is_numbered or pending.type == "rewind":
            self._counted(pending, said)
        pending.succeed(said)

    def _counted(self, pending: Pending, said: Json) -> None:
        seq = said.get("seq")
        if said.get("state") == "committed" and isinstance(seq, int):
            self._reached(seq, said.get("etag"))
            self.kept.succeed(pending.id, said)
        elif said.get("state") == "kept" and isinstance(seq, int) and self.keeps:
            self.kept.add(pending.id, pending.payload, seq, self.generation)

    def _reached(self, seq: int, etag: Any) -> None:
        if seq > self.seq:
            self.seq, self.etag = seq, etag if isinstance(etag, str) else ""

    # --- events -------------------------------------------------------------------------------------------------

    def _happened(self, event: Event, size_bytes: int) -> None:
        place = place_of(event.cursor)
        if place is not None and not self._is_next(place):
            return
        match event:
            case Gap():
                self._missed(event)
            case GoingAway():
                self._goes_away(event)
            case RolledBack():
                self._rolled_back(event)
            case Committed():
                self._reached(event.seq, event.etag)
                self.kept.committed(event)
            case _:
                pass
        self._pass_on(event, place, size_bytes)

    def _is_next(self, place: Cursor) -> bool:
        """Whether it is news. Raises `Lost` when something is missing before it: it comes again after an `attach`."""
        last = self.cursor
        if last is not None and place <= last:
            return False
        if last is not None and place.generation == last.generation and place.number > last.number + 1:
            self._ask_again(last)
            self._pass_on(Gap(str(last), str(Cursor(place.generation, place.number - 1))), None, 0)
        self.cursor = place
        self.generation = max(self.generation, place.generation)
        return True

    def _ask_again(self, last: Cursor) -> None:
        """For what follows `last`; once for each place, then it counts as lost."""
        if self._hole != last:
            self._hole = last
            raise Lost("events are missing")

    def _missed(self, event: Gap) -> None:
        first, last = place_of(event.first), place_of(event.last)
        if not self.catching_up and self.cursor is not None:
            self._ask_again(self.cursor)
        places = [place for place in (self.cursor, first, last) if place is not None]
        self.cursor = max(places, default=None)

    def _rolled_back(self, event: RolledBack) -> None:
        self.generation = max(self.generation, event.generation)
        self.undone_by = event.cause
        self.kept.rolled_back(event)

    def _pass_on(self, event: Event, place: Cursor | None, size_bytes: int) -> None:
        for pending in self._concerned(event):
            if pending.mailbox is not None:
                pending.mailbox.put(event, size_bytes)
            pending.seen = place or pending.seen
        self.tell(event)

    def _concerned(self, event: Event) -> list[Pending]:
        if isinstance(event, Gap | RolledBack):
            return [pending for pending in self._requests if pending.sent]
        pending = self._requests.get(event.request)
        return [pending] if pending is not None else []

    def tell(self, event: Event) -> None:
        """To whoever listens to the whole session."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - a caller's fault must not cost the connection
            _log.exception("on_event failed")
