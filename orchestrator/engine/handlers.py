"""The requests that a front door serves by itself; those for the worker go straight to the session."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.intake import Request
from orchestrator.core.policy import OBSERVER_MAY, SCOPE_OF, check_role, check_scope, session_policy
from orchestrator.core.seal import SealError
from orchestrator.core.session import OpenId, SessionPolicy, visible_to
from orchestrator.engine.link import Then
from orchestrator.engine.phase import Phase
from orchestrator.engine.session import LiveSession
from replwire.cursors import parse_cursor
from replwire.envelopes import Json
from replwire.errors import ERROR_CODES, WireError
from replwire.frames import Kind
from replwire.messages import (
    EVENTS,
    GENERATION,
    REQUESTS,
    SUBPROTOCOL,
    Attach,
    Cancel,
    Close,
    Describe,
    Detach,
    History,
    Input,
    Interrupt,
    Open,
    Ping,
)  # fmt: skip

if TYPE_CHECKING:
    from orchestrator.engine.conversation import Conversation

HISTORY_ENTRIES_MAX: Final = 100
"""Of one reply to `history`; without `from`, the last ones."""

HISTORY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of the entries in one reply; a client that asked for more asks again from where the reply ends."""

HISTORY_ENTRIES_AT_ONCE: Final = 8
"""Read from the store with one call."""


_SHOWN: Final = ("seq", "id", "type", "principal", "at", "cursors", "body", "result")
"""Of a journal entry."""


class Handlers:
    """Of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation

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
            case History():
                await self._history(request, request.payload)
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
        """A session for a client that never said `open`; raises `forbidden` for one that may not."""
        check_scope(self._talk.principal, "open", self._talk.role)
        return await self._talk.sessions.open(self._policy(Open(), implicit=True))

    def _policy(self, payload: Open, *, implicit: bool) -> SessionPolicy:
        talk = self._talk
        return session_policy(payload, talk.principal, talk.limits, talk.sessions.images, implicit=implicit)

    async def _open(self, request: Request, payload: Open) -> None:
        talk = self._talk
        opened = OpenId(talk.principal.tenant, talk.principal.subject, request.id, request.hash)
        talk.told_everything = True
        session = await talk.sessions.open(self._policy(payload, implicit=False), opened)
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
        seq, etag = await self._last_commit(session)
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

    async def _last_commit(self, session: LiveSession) -> tuple[int, str]:
        """Seq and etag: of the store, for other front doors commit too; a new session has neither."""
        if session.record.generation == 0 or session.policy.durability == "none":
            return session.committer.seq, session.committer.etag
        record = visible_to(await self._talk.services.store.read(session.id), session.policy.tenant, session.id)
        return record.seq, record.etag

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

    # --- the journal --------------------------------------------------------------------------------------------

    async def _history(self, request: Request, payload: History) -> None:
        talk = self._talk
        session = await talk.bound(request.session)
        newest, _ = await self._last_commit(session)
        last = min(payload.last or newest, newest)
        first = max(1, payload.first if payload.first is not None else last - HISTORY_ENTRIES_MAX + 1)
        last = min(last, first + HISTORY_ENTRIES_MAX - 1)
        found = await self._journal(session, first, last, newest_first=payload.first is None)
        entries = [self._entry(session, seq, blob) for seq, blob in found]
        talk.reply(request, {"entries": entries, "seq": newest})

    async def _journal(
        self, session: LiveSession, first: int, last: int, *, newest_first: bool
    ) -> list[tuple[int, bytes]]:
        """Those of the entries that fit into one reply, and one at least."""
        found: list[tuple[int, bytes]] = []
        size_bytes = 0
        while first <= last:
            start = max(first, last - HISTORY_ENTRIES_AT_ONCE + 1) if newest_first else first
            end = last if newest_first else min(last, first + HISTORY_ENTRIES_AT_ONCE - 1)
            first, last = (first, start - 1) if newest_first else (end + 1, last)
            part = await self._talk.services.store.journal(session.id, start, end)
            for entry in reversed(part) if newest_first else part:
                size_bytes += len(entry[1])
                if found and size_bytes > HISTORY_BYTES_MAX:
                    return sorted(found)
                found.append(entry)
        return sorted(found)

    def _entry(self, session: LiveSession, seq: int, blob: bytes) -> Json:
        try:
            entry: Json = json.loads(self._talk.services.vault.open_entry(session.policy.tenant, session.id, seq, blob))
        except SealError:
            raise WireError("session_regressed", f"the journal entry {seq} is not as it was sealed", seq=seq) from None
        generation = parse_cursor(entry["cursors"][0]).generation
        return {"generation": generation} | {key: entry[key] for key in _SHOWN}
