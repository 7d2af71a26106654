"""A session's connection: made, lost and made again, while those who use it wait and notice nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from bascule.backoff import Outage
from bascule.dialling import Dialler
from bascule.errors import (
    CONNECTION_LOST,
    NO_ANSWER,
    BasculeError,
    ConnectionError,
    InvalidRequestError,
    SessionError,
    TimeoutError,
)  # fmt: skip
from bascule.events import Disconnected, Reconnected, place_of
from bascule.inbox import Inbox, Lost, OnEvent
from bascule.line import Line
from bascule.requests import Budget, Json, Pending, Requests
from bascule.resuming import Resumption, check_history
from bascule.settings import Settings
from replwire.cursors import Cursor

TOO_BIG: Final = 1009
"""Close code for a message over the server's limit."""

_PASSING: Final = frozenset(
    {"busy", "rate_limited", "capacity", "draining", "store_unavailable", "internal", CONNECTION_LOST, NO_ANSWER}
)
"""Codes after which another try to come back makes sense."""

_log = logging.getLogger("bascule")


class Connection:
    """Of one session. `bind` first; all of it belongs to one event loop."""

    def __init__(self, dialler: Dialler, settings: Settings, on_event: OnEvent | None = None) -> None:
        self._settings = settings
        self._requests = Requests(Budget(settings.buffer_bytes_max))
        self.inbox = Inbox(self._requests, on_event)
        self._dialler = dialler
        self._line = Line(dialler, self._requests, self.inbox)
        self._task: asyncio.Task[None] | None = None
        self._is_ready = False
        self.is_over = False
        self._role: str | None = None
        self._outage: Outage | None = None
        self._back_at = 0.0
        self.session = ""

    # --- what the session asks ----------------------------------------------------------------------------------

    async def bind(self, type_: str, payload: Json) -> Json:
        """Connect, and `open` or `attach`; the reply. It is tried once: a server that isn't there is told at once."""
        self._role, inbox = payload.get("role"), self.inbox
        inbox.cursor = place_of(payload.get("cursor"))
        inbox.catching_up = True
        try:
            reply = await self._line.connect(type_, payload)
        except Lost as lost:
            await self.end()
            raise ConnectionError(f"the server hung up: {lost}") from None
        except BaseException:
            await self.end()
            raise
        self.session, inbox.catching_up = reply["session"], False
        inbox.seq, inbox.etag = int(reply.get("seq", 0)), reply.get("etag") or ""
        inbox.cursor = max(filter(None, (inbox.cursor, place_of(reply.get("cursor")))), default=None)
        inbox.generation = max(inbox.generation, int(reply.get("generation", 0)))
        self._is_ready = True
        self._task = asyncio.create_task(self._run(None))
        return reply

    async def ask_once(self, type_: str, payload: Json) -> Json:
        """The answer to a request that needs no session, on a connection of its own."""
        try:
            return await self._line.connect(type_, payload)
        except Lost as lost:
            raise ConnectionError(f"the server hung up: {lost}") from None

    async def submit(
        self, type_: str, payload: Json, *, id_: str | None = None, events: bool = False, asked_at: Cursor | None = None
    ) -> Pending:
        """Send a request, now or when the connection is back. Raises `SessionError` after `end`."""
        if self.is_over or self._task is None:
            raise SessionError("the session object was closed", code="session_gone")
        pending = self._requests.new(type_, payload, id_=id_, events=events)
        pending.after_seq, pending.asked_at = self.inbox.seq, asked_at
        if self._task.done():
            # It gave up; whoever asks again wants it to try again.
            self._task = asyncio.create_task(self._run(Lost("asked again")))
        elif self._is_ready and self.inbox.retry_after is None:
            await self._line.send(pending)
        return pending

    async def ask(self, type_: str, payload: Json, *, timeout_s: float | None = None, id_: str | None = None) -> Json:
        """Send a request that has no events, and wait for its answer."""
        return await self.answer_to(await self.submit(type_, payload, id_=id_), timeout_s)

    async def answer_to(self, pending: Pending, timeout_s: float | None = None) -> Json:
        """The answer to a request; nobody waits for it after `timeout_s`. Raises `TimeoutError`, or what it is."""
        limit_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        try:
            done, _ = await asyncio.wait([pending.answer], timeout=limit_s)
            if not done:
                raise TimeoutError(f"no answer to {pending.type} within {limit_s:g} s", code=NO_ANSWER)
            return pending.answer.result()
        finally:
            self._requests.forget(pending)

    def abandon(self, pending: Pending) -> None:
        """Nobody waits for it any longer."""
        self._requests.forget(pending)
        if pending.mailbox is not None:
            pending.mailbox.abandon()

    async def reconnect(self) -> None:
        """Hang up, as if the connection had been lost: it is made again, and everything goes on."""
        await self._line.hang_up()

    async def end(self) -> None:
        """Hang up; what is open ends with `ConnectionError`."""
        self.is_over, self._is_ready = True, False
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail_all(ConnectionError("the connection was closed here"))
        await self._line.hang_up()

    # --- the life of the connection -----------------------------------------------------------------------------

    async def _run(self, lost: Lost | None) -> None:
        try:
            while True:
                if lost is not None:
                    await self._come_back(lost)
                lost = await self._listen()
        except BasculeError as error:
            await self._give_up(error)
        except Exception:  # noqa: BLE001 - the end of a task: whoever waits must get an answer
            _log.exception("the connection failed")
            await self._give_up(BasculeError("something went wrong in the client"))

    async def _give_up(self, error: BasculeError) -> None:
        self._is_ready = False
        await self._line.hang_up()
        # Last, so that whoever asks again because of it finds a task that is over.
        self._fail_all(error)

    async def _listen(self) -> Lost:
        try:
            while True:
                await self._requests.budget.room()
                await self._line.receive()
        except Lost as lost:
            return lost
        finally:
            self._is_ready = False

    async def _come_back(self, lost: Lost) -> None:
        """Until the session is attached again. Raises the reason when it cannot be, or not in time."""
        outage = self._outage_now()
        self._refuse_oversized(lost)
        self.inbox.tell(Disconnected(str(lost)))
        retry_after, reason = lost.retry_after or self.inbox.retry_after, f"the connection was lost: {lost}"
        while (wait_s := outage.delay(time.monotonic(), retry_after)) is not None:
            await self._line.hang_up()
            await asyncio.sleep(wait_s)
            try:
                await self._attach_again()
            except Lost as again:
                retry_after, reason = again.retry_after, str(again)
            except BasculeError as error:
                if error.code not in _PASSING:
                    raise
                retry_after, reason = error.retry_after, error.message
            else:
                self.inbox.retry_after, self._back_at = None, time.monotonic()
                self.inbox.tell(Reconnected(outage.seconds(self._back_at)))
                return
        raise ConnectionError(f"gave up after {self._settings.reconnect_timeout_s:g} s: {reason}")

    def _outage_now(self) -> Outage:
        """A connection that did not last belongs to the same outage, so that flapping comes to an end too."""
        now = time.monotonic()
        if self._outage is None or now - self._back_at > self._settings.reconnect_delay_max_s:
            self._outage = Outage(self._settings, now)
        return self._outage

    def _refuse_oversized(self, lost: Lost) -> None:
        """The request that cost us the connection must not be sent again."""
        sent = [pending for pending in self._requests if pending.sent]
        if lost.close_code == TOO_BIG and sent:
            largest = max(sent, key=lambda pending: len(pending.text))
            self._requests.forget(largest)
            largest.fail(InvalidRequestError("the request is larger than the server takes", code="too_large"))

    async def _attach_again(self) -> None:
        payload: Json = {"session": self.session}
        if self.inbox.cursor is not None:
            payload["cursor"] = str(self.inbox.cursor)
        if self._role is not None:
            payload["role"] = self._role
        self.inbox.catching_up = True
        try:
            reply = await self._line.connect("attach", payload)
        finally:
            self.inbox.catching_up = False
        await check_history(reply, self.inbox, self._dialler.record)
        generation = self.inbox.generation = int(reply.get("generation", 0))
        await Resumption(self._line.call, self._requests, self.inbox).decide(generation)
        while unsent := [pending for pending in self._requests if not pending.sent]:
            for pending in unsent:
                await self._line.send(pending)
        self._is_ready = True

    def _fail_all(self, error: BasculeError) -> None:
        for pending in self._requests:
            if pending.type == "close" and error.code in ("session_gone", "not_found"):
                self._requests.forget(pending)
                pending.succeed({})
        self._requests.fail_all(error)
        self.inbox.kept.fail_all(error)
