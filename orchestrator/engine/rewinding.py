"""Going back: a commit of its own, whose state is that of an earlier seq, and which ends the worker's generation."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.core.commits import Answer, Checkpointed, CommitReply
from orchestrator.core.encoding import canonical_bytes
from orchestrator.core.intake import Request
from orchestrator.core.outcomes import Outcome, with_commit
from orchestrator.core.seal import SealError
from orchestrator.core.session import Checkpoint, Record, visible_to
from orchestrator.engine.sealing import CommitSealer
from orchestrator.engine.services import Services
from orchestrator.engine.states import States
from orchestrator.ports import Raised
from replwire.envelopes import Json
from replwire.errors import WireError

TRIES_MAX: Final = 8
"""Commits of the session may be faster than we are; then it is read again."""

RETRY_S: Final = 0.1
"""Between tries while the store does not answer."""

NONCE_BYTES: Final = 16

CAUSE: Final = "rewind"
"""Why the record says that the generation was raised."""

_log = structlog.get_logger("bascule.session")


@dataclass(frozen=True, slots=True)
class Rewound:
    """A rewind that is committed, by this request or by an earlier one of the same id."""

    payload: Json
    generation: int
    """Of the session since then, at least."""
    raised: Raised | None
    """The replacement that goes with it, where it is this front door's."""


class Rewinder:
    """Of one front door."""

    def __init__(self, services: Services, states: States) -> None:
        self._services = services
        self._states = states

    async def rewind(self, session: str, request: Request, to: int, principal: str, tenant: str) -> Rewound:
        """Commit it. The same id with the same body gives the stored answer; raises `not_found`, `conflict`, `busy`,
        and `outcome_unknown` when the store went away in between."""
        ours: Raised | None = None
        is_unknown = False
        for _ in range(TRIES_MAX):
            try:
                record = visible_to(await self._services.store.read(session), tenant, session)
                done = await self._earlier(record, request)
                if done is not None:
                    return done
                ours = Raised(record.generation + 1, self._services.random(NONCE_BYTES).hex())
                done = await self._tried(record, request, to, principal, ours)
            except WireError as error:
                if error.code != "store_unavailable" or ours is None:
                    raise
                is_unknown = True
                await asyncio.sleep(RETRY_S)
            else:
                is_unknown = False
                if done is not None:
                    return done
        if is_unknown:
            raise WireError("outcome_unknown", "the store went away; ask again by the same id")
        raise WireError("busy", "the session goes on faster than it can be rewound", retry_after_ms=200)

    async def _earlier(self, record: Record, request: Request) -> Rewound | None:
        """What the id has done already; it may have been a try of ours whose answer was lost."""
        found = await self._services.store.outcome(record.session, request.id)
        if found is None:
            return None
        is_ours = record.cause == CAUSE and record.owner == self._services.server
        raised = Raised(record.generation, record.nonce) if is_ours else None
        return Rewound(self._stored(record, request, *found), record.generation, raised)

    def _stored(self, record: Record, request: Request, seq: int, blob: bytes) -> Json:
        try:
            entry = json.loads(self._services.vault.open_entry(record.policy.tenant, record.session, seq, blob))
        except SealError:
            raise WireError("outcome_unknown", f"the journal entry {seq} is not as it was sealed") from None
        if (entry["type"], canonical_bytes(entry["body"])) != (request.type, request.body):
            raise WireError("conflict", "the id was used with another body")
        durable = self._services.facts.found_durable
        return with_commit(entry["result"], seq=seq, state="committed", durable=durable, etag=entry["etag"])

    async def _tried(self, record: Record, request: Request, to: int, principal: str, raised: Raised) -> Rewound | None:
        """None when the session has moved on meanwhile."""
        services = self._services
        state = await self._states.of(record, to)
        outcome = self._outcome(record, request, state, principal)
        commit = CommitSealer(services, record).commit(record.etag, (outcome,), {})
        deadline_s = services.config.replace_deadline_s
        reply = await services.store.rewind(commit, to, raised, services.server, deadline_s)
        services.metrics.commits.labels(reply.answer.value).inc()
        if reply.answer is Answer.OK:
            _log.info("session rewound", session_id=record.session, to=to, seq=outcome.seq, principal=principal)
            said = with_commit(
                outcome.payload, seq=outcome.seq, state="committed", durable=reply.durable, etag=commit.etag
            )
            return Rewound(said, raised.generation, raised)
        return self._otherwise(record, request, reply)

    def _otherwise(self, record: Record, request: Request, reply: CommitReply) -> Rewound | None:
        if reply.answer is Answer.CONFLICT:
            raise WireError("conflict", "the id was used with another body")
        if reply.answer is Answer.DUP:
            return Rewound(self._stored(record, request, *reply.stored[0]), record.generation, None)
        return None  # GAP, FENCED, MISSING: what was read is old

    def _outcome(self, record: Record, request: Request, state: Checkpoint, principal: str) -> Outcome:
        last_event = record.last_events.get(record.generation, 0)
        return Outcome(
            seq=record.seq + 1, request_id=request.id, type=request.type, body_hash=request.hash, stamp=b"",
            principal=principal, body=request.body, payload={"to": state.seq, "unsaved": {}},
            state=Checkpointed(self._states.opened(record, state), state.references),
            first_event=last_event, last_event=last_event,
        )  # fmt: skip
