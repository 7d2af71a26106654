"""Looks at sessions that take no part in them: no worker is woken, started or asked."""

from __future__ import annotations

import json
from typing import Final

from orchestrator.core.outcomes import with_commit
from orchestrator.core.paging import parse_position
from orchestrator.core.policy import check_look
from orchestrator.core.principal import Principal
from orchestrator.core.seal import SealError
from orchestrator.core.session import Record, visible_to
from orchestrator.engine.phase import Phase
from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession
from orchestrator.engine.sessions import Sessions
from replwire.envelopes import Json
from replwire.errors import WireError

_NOT_KEPT: Final = "the store has no outcome of this id: it may run through another front door, or was never sent"


class Overview:
    """Of one front door, over what the store has."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions

    async def page(self, principal: Principal, limit: int, cursor: str | None) -> Json:
        """The tenant's open sessions, the newest first: `items` and `next_cursor`."""
        check_look(principal)
        after = parse_position(cursor) if cursor is not None else None
        records, last = await self._services.store.sessions_of(principal.tenant, after, limit)
        return {"items": [self._facts(record) for record in records], "next_cursor": str(last) if last else None}

    async def session(self, principal: Principal, session: str) -> Json:
        """What is known of one session; raises `not_found` or `session_gone`."""
        check_look(principal)
        return self._facts(await self._record(principal, session))

    async def outcome(self, principal: Principal, session: str, request_id: str) -> Json:
        """How an eval ended: `status` is `running`, `done` (with `result`) or `outcome_unknown`. Raises `not_found`."""
        check_look(principal)
        record = await self._record(principal, session)
        live = self._sessions.in_hand(session)
        found = _in_hand(live, request_id) if live is not None else None
        if found is None:
            found = await self._stored(record, request_id)
        if found is None and record.worker is None:
            raise WireError("not_found", "no eval of this id is known", session=session)
        return {"id": request_id, **(found or {"status": "outcome_unknown", "detail": _NOT_KEPT})}

    async def _record(self, principal: Principal, session: str) -> Record:
        return visible_to(await self._services.store.read(session), principal.tenant, session)

    def _facts(self, record: Record) -> Json:
        policy = record.policy
        return {
            "session": record.session,
            "name": policy.name,
            "subject": policy.subject,
            "status": _status(record, self._sessions.in_hand(record.session)),
            "created_at": record.created_at,
            "seen_at": record.seen_at,
            "origin": policy.origin or None,
            "seq": record.seq,
            "etag": record.etag,
            "generation": record.generation,
            "durability": policy.durability,
            "image": policy.image,
            "idle_timeout_s": policy.idle_timeout_s,
        }

    async def _stored(self, record: Record, request_id: str) -> Json | None:
        found = await self._services.store.outcome(record.session, request_id)
        if found is None:
            return None
        seq, blob = found
        try:
            entry = json.loads(self._services.vault.open_entry(record.policy.tenant, record.session, seq, blob))
        except SealError:
            return {"status": "outcome_unknown", "detail": f"the journal entry {seq} is not as it was sealed"}
        if entry["type"] != "eval":
            raise WireError("not_found", "this id is no eval's", session=record.session)
        durable = self._services.facts.found_durable
        return _done(with_commit(entry["result"], seq=seq, state="committed", durable=durable, etag=None))


def _status(record: Record, live: LiveSession | None) -> str:
    if live is not None and live.is_busy:
        return "busy"
    if live is not None and live.phase is Phase.CONNECTING:
        return "starting"
    return "parked" if record.worker is None else "ready"


def _in_hand(live: LiveSession, request_id: str) -> Json | None:
    """What this front door knows by itself."""
    for outcome in live.committer.waiting:
        if outcome.request_id == request_id and outcome.seq in live.acknowledger.kept:
            return _done(with_commit(outcome.payload, seq=outcome.seq, state="kept", durable="none", etag=None))
    runs = live.requests.get(request_id) is not None or live.stray.is_of(request_id)
    return {"status": "running"} if runs else None


def _done(result: Json) -> Json:
    return {"status": "done", "result": result}
