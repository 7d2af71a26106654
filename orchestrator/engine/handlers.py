"""The requests that a front door serves by itself; those for the worker go straight to the session."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.core.intake import Request
from orchestrator.core.policy import OBSERVER_MAY, SCOPE_OF, check_role, check_scope, session_policy
from orchestrator.core.session import OpenId, SessionPolicy
from orchestrator.engine.link import Then
from orchestrator.engine.past_handlers import PastHandlers
from orchestrator.engine.phase import Phase
from orchestrator.engine.session import LiveSession
from replwire.cursors import parse_cursor
from replwire.envelopes import Json
from replwire.errors import ERROR_CODES, WireError
from replwire.events import EVENTS
from replwire.frames import Kind
from replwire.messages import (
    GENERATION,
    REQUESTS,
    SUBPROTOCOL,
    Attach,
    Cancel,
    Close,
    Describe,
    Detach,
    Fork,
    History,
    Input,
    Interrupt,
    Open,
    Pin,
    Ping,
    Rewind,
    Unpin,
)  # fmt: skip

if TYPE_CHECKING:
    from orchestrator.engine.conversation import Conversation


class Handlers:
    """Of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._past = PastHandlers(conversation)

    async def serve(self, request: Request) -> None:
        """Answer the request; raises `WireError`."""
        match request.payload:
            case Ping():
                self._talk.reply(request, {}, "pong")
            case Describe():
                self._talk.reply(request, self._description())
            case Open():
                await self._open(request, request.payload)
            case Attach():
                await self._attach(request, request.payload)
            case Interrupt() | Cancel() | Input():
                await self._control(request, request.payload)
            case History() | Rewind() | Fork() | Pin() | Unpin():
                await self._past.serve(request, request.payload)
            case Detach():
                self._talk.unbind()
                self._talk.reply(request, {})
            case Close():
                await self._close(request)
            case _:
                raise WireError("unknown_type", f"no request of type {request.type!r} is served")

    # --- about the server ---------------------------------------------------------------------------------------

    def _description(self) -> Json:
        talk = self._talk
        may = [name for name, scope in SCOPE_OF.items() if scope is None or scope in talk.principal.scopes]
        if talk.role == "observer":
            may = [name for name in may if name in OBSERVER_MAY]
        return {
            "server": "bascule",
            "generation": GENERATION,
            "subprotocol": SUBPROTOCOL,
            "limits": dict(talk.limits),
            "languages": ["python"],
            "images": list(talk.sessions.images),
            "requests": list(REQUESTS),
            "events": list(EVENTS),
            "errors": list(ERROR_CODES),
            "durable": talk.services.facts.durable,
            "principal": self._principal(may),
        }

    def _principal(self, may: list[str]) -> Json:
        principal = self._talk.principal
        said: Json = {"tenant": principal.tenant, "subject": principal.subject, "may": may}
        return said if math.isinf(principal.expires_at) else {**said, "expires_at": principal.expires_at}

    # --- sessions -----------------------------------------------------------------------------------------------

    async def open_implicit(self) -> LiveSession:
        """A session for a client that never said `open`; raises `forbidden` for one that may not, `quota_exceeded`."""
        check_scope(self._talk.principal, "open", self._talk.role)
        policy, most = self._policy(Open(), implicit=True), self._talk.limits["sessions_max"]
        return await self._talk.sessions.open(policy, sessions_max=most)

    def _policy(self, payload: Open, *, implicit: bool) -> SessionPolicy:
        talk = self._talk
        return session_policy(payload, talk.principal, talk.limits, talk.sessions.images, implicit=implicit)

    async def _open(self, request: Request, payload: Open) -> None:
        talk = self._talk
        opened = OpenId(talk.principal.tenant, talk.principal.subject, request.id, request.hash)
        talk.told_everything = True
        policy = self._policy(payload, implicit=False)
        if payload.origin is None:
            session = await talk.sessions.open(policy, opened, sessions_max=talk.limits["sessions_max"])
        else:
            session = await self._past.open_from(payload.origin, policy, opened)
        await talk.bind(session, None)
        talk.reply(request, await self._binding(session))

    async def _attach(self, request: Request, payload: Attach) -> None:
        talk = self._talk
        cursor = parse_cursor(payload.cursor) if payload.cursor is not None else None
        role = payload.role or "driver"
        check_role(talk.principal, role)
        session = await talk.sessions.find(payload.session, talk.principal.tenant)
        talk.told_everything = True
        session.connect()
        await talk.bind(session, cursor, role)
        talk.reply(request, await self._binding(session))

    async def _binding(self, session: LiveSession) -> Json:
        seq, etag = await self._past.journal.last_commit(session)
        said: Json = {
            "session": session.id,
            "seq": seq,
            "status": "ready" if session.phase is Phase.LINKED else "starting",
            "generation": session.record.generation,
            "cursor": str(session.last_event),
        }
        if etag:
            said["etag"] = etag
        return said

    async def _close(self, request: Request) -> None:
        if self._talk.session is None and request.session is None:
            raise WireError("not_found", "this connection has no session")
        session = await self._talk.bound(request.session)
        await self._talk.sessions.end(session, "closed by its client")
        self._talk.unbind()
        self._talk.reply(request, {"session": session.id})

    # --- the running eval ---------------------------------------------------------------------------------------

    async def _control(self, request: Request, payload: Interrupt | Cancel | Input) -> None:
        session = self._talk.session
        if request.session is not None:
            session = await self._talk.bound(request.session)
        if session is None:
            if isinstance(payload, Interrupt):
                self._talk.reply(request, {"status": "idle"})
                return
            raise WireError("not_found", "this connection has no session")
        await self._talk.in_background(lambda: self._controlled(request, payload, session), request)

    async def _controlled(self, request: Request, payload: Interrupt | Cancel | Input, session: LiveSession) -> None:
        match payload:
            case Interrupt():
                self._talk.reply(request, await self._interrupt(session, payload.target))
            case Cancel():
                self._talk.reply(request, await self._cancel(session, payload.target))
            case Input():
                said = await self._call(session, Kind.INPUT, payload.target, payload.text)
                if said.get("status") != "delivered":
                    raise WireError("not_found", "no eval of that id waits for input", field="payload.target")
                self._talk.reply(request, {"status": "delivered"})

    async def _interrupt(self, session: LiveSession, target: str | None) -> Json:
        if session.link is None and not session.requests.has_dispatched:
            return {"status": "idle"}
        texts = (target or "", "interrupt")
        said = await self._call(session, Kind.INTERRUPT, *texts, then=session.requests.deadlines.interrupted)
        status = said.get("status")
        return {"status": status if status in ("interrupted", "idle", "mismatch") else "idle"}

    async def _cancel(self, session: LiveSession, target: str) -> Json:
        pending = session.requests.get(target)
        if pending is not None and not pending.dispatched:
            session.requests.refuse(pending, WireError("cancelled", "dropped from the queue before it started"))
            return {"status": "cancelled"}
        if session.link is not None or pending is not None:
            said = await self._call(session, Kind.CANCEL, target)
            if said.get("status") in ("cancelled", "running"):
                return {"status": said["status"]}
        raise WireError("not_found", "no request of that id waits", field="payload.target")

    async def _call(self, session: LiveSession, kind: int, *texts: str, then: Then | None = None) -> dict[str, Any]:
        if session.link is None:
            raise WireError("busy", "the session has no worker at the moment", retry_after_ms=200)
        session.last_used = self._talk.services.clock.monotonic()
        return await session.link.call(kind, tuple(text.encode("utf-8") for text in texts), then=then)
