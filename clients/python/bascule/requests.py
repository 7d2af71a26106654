"""Open requests: what was asked, what has come of it so far, and who waits for the rest."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bascule.errors import ConflictError
from bascule.events import Event
from replwire.cursors import Cursor
from replwire.envelopes import encode, envelope

Json = dict[str, Any]


class Budget:
    """Bytes of output that wait for the callers of one connection; above the limit nothing more is received."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held_bytes = 0
        self._urgent = 0
        self._room = asyncio.Event()
        self._room.set()

    def hold(self, count_bytes: int) -> None:
        """So many more wait; negative when they have been read, or dropped with their reader."""
        self._held_bytes += count_bytes
        self._look()

    def hurry(self, count: int) -> None:
        """So many more requests must be answered although output waits; negative when they have been."""
        self._urgent += count
        self._look()

    def _look(self) -> None:
        if self._urgent or self._held_bytes <= self._bytes_max:
            self._room.set()
        else:
            self._room.clear()

    @property
    def has_room(self) -> bool:
        """Whether more may be received."""
        return self._room.is_set()

    async def room(self) -> None:
        """Until more may be received."""
        await self._room.wait()


class Mailbox:
    """The events of one request, for one reader."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._events: deque[Event] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._closed = self._abandoned = False

    def put(self, event: Event, size_bytes: int) -> None:
        """One more, unless nobody reads them any longer."""
        if not self._abandoned:
            self._events.append(event)
            self._held_bytes += size_bytes
            self._budget.hold(size_bytes)
            self._news.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._news.set()

    def abandon(self) -> None:
        """Nobody reads them any longer."""
        self._abandoned = True
        self._emptied()

    async def take(self) -> list[Event]:
        """All that are there, at least one; none at all when nothing more will come."""
        while not self._events and not self._closed:
            self._news.clear()
            await self._news.wait()
        return self._emptied()

    def _emptied(self) -> list[Event]:
        found = list(self._events)
        self._events.clear()
        self._budget.hold(-self._held_bytes)
        self._held_bytes = 0
        return found


@dataclass(slots=True, eq=False)
class Pending:
    """A request that has no terminal yet."""

    type: str
    payload: Json
    id: str
    answer: asyncio.Future[Json]
    mailbox: Mailbox | None = None
    after_seq: int = 0
    """The last seq that was known when it was made: in the journal it can only stand behind it."""
    sent: bool = False
    generation: int = 0
    """That of the session as it was known when it was sent."""
    seen: Cursor | None = None
    """Its last event."""
    asked_at: Cursor | None = None
    """For an `input`: the event that it answers."""
    repeated: bool = False
    """It was sent before, on a connection that is gone."""
    text: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Make its message once, so that a repetition has the same body."""
        self.text = encode(envelope(self.type, self.payload, round(time.time(), 3), id_=self.id))

    @property
    def is_numbered(self) -> bool:
        """Whether it gets a seq and is committed: it must not run twice."""
        return self.type == "eval" or (self.type == "files" and self.payload.get("op") in ("write", "delete"))

    @property
    def is_urgent(self) -> bool:
        """Whether its answer must not wait behind output that nobody reads."""
        return self.type in ("interrupt", "cancel", "input", "close", "detach")

    def fail(self, error: BaseException) -> None:
        """It ends without an answer."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # whoever waits still gets it; nobody has to
        self._close()

    def succeed(self, payload: Json) -> None:
        """It ends with its answer."""
        if not self.answer.done():
            self.answer.set_result(payload)
        self._close()

    def _close(self) -> None:
        if self.mailbox is not None:
            self.mailbox.close()


class Requests:
    """The open requests of one connection, by id, in the order in which they were made."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._open: dict[str, Pending] = {}

    def __iter__(self) -> Iterator[Pending]:
        return iter(tuple(self._open.values()))

    def new(self, type_: str, payload: Json, *, id_: str | None = None, events: bool = False) -> Pending:
        """Make one. Raises `ConflictError` for an id that is open already."""
        id_ = id_ or str(uuid.uuid4())
        if id_ in self._open:
            raise ConflictError(f"a request of the id {id_!r} is open already")
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        mailbox = Mailbox(self.budget) if events else None
        pending = self._open[id_] = Pending(type_, payload, id_, answer, mailbox)
        self.budget.hurry(pending.is_urgent)
        return pending

    def get(self, id_: str | None) -> Pending | None:
        """The open one of this id."""
        return self._open.get(id_) if id_ is not None else None

    def forget(self, pending: Pending) -> None:
        """It has ended, or nobody waits for it."""
        if self._open.get(pending.id) is pending:
            del self._open[pending.id]
            self.budget.hurry(-pending.is_urgent)

    def fail_all(self, error: BaseException) -> None:
        """All of them end."""
        for pending in self:
            self.forget(pending)
            pending.fail(error)
