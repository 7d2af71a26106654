"""The requests about what a session was before: `history`, `rewind`, `fork`, pins, and `open` with `from`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from orchestrator.core.ids import is_session_id
from orchestrator.core.intake import Request
from orchestrator.core.policy import copied_policy
from orchestrator.core.session import OpenId, Record, SessionPolicy, visible_to
from orchestrator.engine.forking import Forker
from orchestrator.engine.history import Journal
from orchestrator.engine.rewinding import Rewinder
from orchestrator.engine.session import LiveSession
from orchestrator.engine.states import States
from orchestrator.ports import Raised
from replwire.envelopes import Json
from replwire.errors import WireError
from replwire.messages import Fork, From, History, Pin, Rewind, Unpin

if TYPE_CHECKING:
    from orchestrator.engine.conversation import Conversation

SETTLE_S: Final = 10.0
"""How long the answer to a rewind, which is committed, waits for the report of the restore."""

SOMEBODY_ELSES: Final = Raised(0, "")
"""A replacement that is another front door's: its worker is looked for."""

Past = History | Rewind | Fork | Pin | Unpin


class PastHandlers:
    """Of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        services = conversation.services
        self._store = services.store
        self._states = States(services)
        self.journal = Journal(services)
        self._forker = Forker(services, self._states)
        self._rewinder = Rewinder(services, self._states)

    async def serve(self, request: Request, payload: Past) -> None:
        """Answer the request; raises `WireError`."""
        match payload:
            case History():
                session = await self._talk.bound(request.session)
                page = await self.journal.page(session, payload)
                self._talk.reply(request, page | await self._states.kept(session.id))
            case Rewind():
                await self._rewind(request, payload)
            case Fork():
                self._talk.reply(request, await self._fork(request, payload))
            case Pin():
                record = await self._record(request)
                self._talk.reply(request, await self._states.pin(record, payload.name, payload.seq))
            case Unpin():
                record = await self._record(request)
                self._talk.reply(request, await self._states.unpin(record, payload.name))

    # --- rewind -------------------------------------------------------------------------------------------------

    async def _rewind(self, request: Request, payload: Rewind) -> None:
        talk, session = self._talk, await self._session(request)
        if session.requests.get(request.id) is not None:
            raise WireError("conflict", "the id was used with another body")
        done = await self._rewinder.rewind(session.id, request, payload.seq, talk.principal_name, talk.principal.tenant)
        if session.record.generation >= done.generation:
            talk.reply(request, done.payload)
            return
        session.rewound(done.raised or SOMEBODY_ELSES)
        await talk.in_background(lambda: self._reply_when_settled(request, session, done.payload), request)

    async def _reply_when_settled(self, request: Request, session: LiveSession, payload: Json) -> None:
        """The rewind stands; if there is a worker again, what it could not bring back belongs to the answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(session.settled(), SETTLE_S)
        self._talk.reply(request, payload | {"unsaved": dict(session.lost)})

    # --- copies -------------------------------------------------------------------------------------------------

    async def _fork(self, request: Request, payload: Fork) -> Json:
        talk, parent = self._talk, await self._record(request)
        principal = talk.principal
        policy = copied_policy(parent.policy, principal, talk.limits, payload.name or "")
        # The id is one of the parent's: another session's fork may have the same.
        request_id = f"{parent.session}/{request.id}"
        opened = OpenId(principal.tenant, principal.subject, request_id, request.hash)
        made = await self._forker.begin(parent, payload.seq, policy, opened, talk.limits["sessions_max"])
        record = visible_to(made, principal.tenant, made.session)
        said: Json = {"session": record.session, "seq": record.seq, "status": "parked"}
        return said | {"generation": record.generation, "origin": parent.session} | _etag(record)

    async def open_from(self, origin: From, policy: SessionPolicy, opened: OpenId) -> LiveSession:
        """A session of this policy that begins with another one's state; raises `not_found`, `quota_exceeded`."""
        talk = self._talk
        talk.sessions.make_room()
        parent = await self._look_up(origin.session)
        _check_keeps_states(parent.policy)
        at = origin.pin if origin.pin is not None else origin.seq
        made = await self._forker.begin(parent, at, policy, opened, talk.limits["sessions_max"])
        return talk.sessions.begin(made)

    # --- the session --------------------------------------------------------------------------------------------

    async def _session(self, request: Request) -> LiveSession:
        if self._talk.session is None and request.session is None:
            raise WireError("not_found", "this connection has no session")
        session = await self._talk.bound(request.session)
        _check_keeps_states(session.policy)
        return session

    async def _record(self, request: Request) -> Record:
        """The session as the store has it now; it need not be in hand, and nothing of it is woken."""
        named = request.session or (self._talk.session.id if self._talk.session is not None else None)
        if named is None:
            raise WireError("not_found", "this connection has no session")
        record = await self._look_up(named)
        _check_keeps_states(record.policy)
        return record

    async def _look_up(self, session: str) -> Record:
        found = await self._store.read(session) if is_session_id(session) else None
        return visible_to(found, self._talk.principal.tenant, session)


def _check_keeps_states(policy: SessionPolicy) -> None:
    if policy.durability == "none":
        raise WireError("forbidden", "a session of durability `none` keeps no states", durability="none")


def _etag(record: Record) -> Json:
    return {"etag": record.etag} if record.etag else {}
