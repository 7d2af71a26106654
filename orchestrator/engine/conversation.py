"""One client's connection: messages in, each answered exactly once; events out, in order, no faster than it reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from orchestrator.core.encoding import to_text
from orchestrator.core.intake import RefusedMessage, Request, read_request
from orchestrator.core.policy import check_role, check_scope, effective_limits, role_of
from orchestrator.core.principal import Principal
from orchestrator.engine.handlers import Handlers
from orchestrator.engine.lapse import Lapse, let_finish
from orchestrator.engine.requests import Consumption
from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession
from orchestrator.engine.sessions import Sessions
from orchestrator.ports import Channel
from replwire.envelopes import Json, envelope
from replwire.errors import WireError

_log = structlog.get_logger("bascule.conversation")

GOING_AWAY_RETRY_MS: Final = 500
"""When a client should connect again, elsewhere or here."""

GOING_AWAY_FLUSH_S: Final = 2.0
"""For a client to read what was meant for it before the goodbye."""

REPLY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Answers on their way to one client; beyond it no further message of its is read. Output has its own window."""

CONTROLS_MAX: Final = 32
"""Interrupts, cancels and inputs of one client that wait for the worker; beyond it the next message waits."""

_WITH_WORKER: Final = frozenset({"eval", "complete", "inspect", "is_complete", "variables", "files"})
_NEW_WORK: Final = _WITH_WORKER | {"open", "attach", "rewind", "fork"}
"""What a front door that drains does not begin any more."""


class Conversation:
    """Bound to at most one session; is that session's `Subscriber`."""

    def __init__(
        self, services: Services, sessions: Sessions, channel: Channel, principal: Principal, lapsed: asyncio.Event, *,
        told_everything: bool,
    ) -> None:  # fmt: skip
        self.services = services
        self.sessions = sessions
        self.principal = principal
        self.principal_name = principal.name
        self.limits: Mapping[str, int] = effective_limits(services.config.limits, principal)
        self.role = "driver"
        self.told_everything = told_everything
        self.session: LiveSession | None = None
        self._owing: set[LiveSession] = set()
        """Sessions that it left with requests of its own still open."""
        self._channel = channel
        self._outbox: deque[tuple[str, Consumption | None]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._reply_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._ended = False
        self._bad_messages = 0
        self._handlers = Handlers(self)
        self._lapse = Lapse(self, lapsed)
        self._tasks: set[asyncio.Task[None]] = set()

    def _fresh_id(self) -> str:
        return self.services.fresh_id("req")

    # --- in -----------------------------------------------------------------------------------------------------

    async def run(self, session: str | None) -> None:
        """Until the client has gone. `session`: the one that the connection's address names."""
        try:
            if session is not None:
                role = "driver" if "eval" in self.principal.scopes else "observer"
                check_role(self.principal, role)
                await self.bind(await self.sessions.find(session, self.principal.tenant), None, role)
            self._lapse.watch()
            while (text := await self._channel.receive()) is not None:
                self._lapse.in_message = True
                await self._message(text)
                self._lapse.message_served()
                await self._has_room.wait()
        except WireError as error:
            self.deliver(self._error(None, error))
            await self.send_away(error.code)
        finally:
            await self._end()

    async def _message(self, text: str) -> None:
        try:
            request = read_request(text, self.limits, self._fresh_id)
        except RefusedMessage as refused:
            await self._refused(refused)
            return
        await self._guarded(lambda: self._serve(request), request)

    async def _serve(self, request: Request) -> None:
        self._lapse.check()
        check_scope(self.principal, request.type, self.role)
        if request.type in _NEW_WORK:
            self._check_not_draining()
        if request.type in _WITH_WORKER:
            session = self.session
            if session is None or request.session not in (None, session.id):
                session = await self.bound(request.session)
                self._check_not_draining()  # what is not begun when the client hears of it is not begun at all
            session.submit(request, self)
        else:
            await self._handlers.serve(request)

    def _check_not_draining(self) -> None:
        if self.services.draining:
            raise WireError("draining", "this front door is going away", retry_after_ms=GOING_AWAY_RETRY_MS)

    async def _refused(self, refused: RefusedMessage) -> None:
        self.services.metrics.bad_messages.inc()
        self._bad_messages += 1
        self.deliver(self._error(refused.id, refused.error))
        if self._bad_messages >= self.limits["bad_messages_max"]:
            await self.send_away("too many bad messages")

    # --- the session --------------------------------------------------------------------------------------------

    async def bound(self, named: str | None) -> LiveSession:
        """The session of this connection; the first request that needs one makes it."""
        session = self.session
        if named is not None and (session is None or session.id != named):
            session = await self.sessions.find(named, self.principal.tenant)
            await self.bind(session, None, role_of(self.principal, self.role))
        elif session is None:
            session = await self._handlers.open_implicit()
            await self.bind(session, None)
        return session

    async def bind(self, session: LiveSession, cursor: Any, role: str = "driver") -> None:
        """Hear this session's events; leaves the one before."""
        if self.session is not None and self.session is not session:
            self.unbind()
        self.session, self.role = session, role
        await session.attach(self, cursor)

    @property
    def in_touch(self) -> frozenset[LiveSession]:
        """The one that it is bound to, and those that still owe it an answer."""
        return frozenset((*self._owing, *(() if self.session is None else (self.session,))))

    @property
    def is_answering(self) -> bool:
        """Whether a message of the client's is being served here, apart from what its sessions owe it."""
        return self._lapse.in_message or bool(self._tasks)

    def unbind(self) -> None:
        """Leave the session running."""
        if self.session is not None:
            self.session.detach(self)
            self._owing = {session for session in (*self._owing, self.session) if session.requests.owes(self)}
            self.session = None
            self.role = "driver"

    # --- out ----------------------------------------------------------------------------------------------------

    def reply(self, request: Request, payload: Json, type_: str = "reply") -> None:
        """The terminal of a request that was served here."""
        self.deliver(to_text(envelope(type_, payload, self.services.clock.now(), id_=request.id)))

    def _error(self, id_: str | None, error: WireError) -> str:
        incident = self.services.incident_of(error)
        session_id = self.session.id if self.session is not None else None
        _log.info(
            "request refused", session_id=session_id, request_id=id_, code=error.code, cause=error.message,
            incident=incident,
        )  # fmt: skip
        return to_text(envelope("error", error.payload(incident), self.services.clock.now(), id_=id_))

    def deliver(self, text: str, cost_bytes: int = 0, batch: Consumption | None = None) -> None:
        """See `Subscriber`."""
        if self._ended or (not self._outbox and self._writer is None and self._channel.offer(text)):
            if batch is not None:
                batch.one()
            return
        self._outbox.append((text, batch))
        if batch is None:
            self._count_reply(len(text))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._outbox:
                text, batch = self._outbox[0]
                await self._channel.send(text)
                if self._outbox:
                    self._outbox.popleft()
                if batch is not None:
                    batch.one()
                else:
                    self._count_reply(-len(text))
        finally:
            self._writer = None

    def _count_reply(self, count_bytes: int) -> None:
        self._reply_bytes += count_bytes
        if self._reply_bytes > REPLY_BYTES_MAX:
            self._has_room.clear()
        else:
            self._has_room.set()

    async def let_finish(self) -> None:
        """Until what was asked for and runs is answered; what waits is not started any more."""
        ends = [end for session in self.in_touch for end in let_finish(session, self)]
        await asyncio.gather(*ends, *self._tasks, return_exceptions=True)

    async def send_away(self, reason: str) -> None:
        """Close it, after all that was meant for the client."""
        await self._flush()
        await self._channel.close(1008, reason)

    async def go_away(self) -> None:
        """This front door ends; the session does not."""
        said = {"retry_after_ms": GOING_AWAY_RETRY_MS}
        if self.told_everything:
            self.deliver(to_text(envelope("going_away", said, self.services.clock.now())))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._flush(), GOING_AWAY_FLUSH_S)
        await self._channel.close(1012, "this front door is going away")

    async def _flush(self) -> None:
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _end(self) -> None:
        self._ended = True
        await self._lapse.stop()
        self.unbind()
        for session in self._owing:
            session.leave(self)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        while self._outbox:
            _, batch = self._outbox.popleft()
            if batch is not None:
                batch.one()

    async def in_background(self, work: Callable[[], Awaitable[None]], request: Request) -> None:
        """Serve a request that waits for the worker, while further messages are read."""
        if len(self._tasks) >= CONTROLS_MAX:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._guarded(work, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Callable[[], Awaitable[None]], request: Request) -> None:
        try:
            await work()
        except WireError as error:
            self.deliver(self._error(request.id, error))
        except Exception:  # noqa: BLE001 - the end of a request: the client is owed an answer
            _log.exception("request failed", request_id=request.id, type=request.type)
            self.deliver(self._error(request.id, WireError("internal", "something went wrong on our side")))
