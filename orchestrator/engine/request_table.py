"""The open requests of one session: admitted, dispatched with their stamps, answered once."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator import faults
from orchestrator.core.commits import stamp
from orchestrator.core.encoding import to_text
from orchestrator.core.intake import Request
from orchestrator.engine.deadlines import Deadlines
from orchestrator.engine.gate import Gate
from orchestrator.engine.link import request_flags
from orchestrator.engine.requests import Pending, Subscriber
from orchestrator.engine.services import Services
from replwire.envelopes import Json, envelope
from replwire.errors import WireError
from replwire.frames import NONE, SEQ, Kind
from replwire.messages import Eval

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.requests")

_NO_SEQ: Final = SEQ.pack(NONE)

RUNNING_MAX: Final = 1
"""Of the open requests so many may run while `requests_waiting_max` wait."""


class RequestTable:
    """Of one `LiveSession`; by request id, in the order of acceptance."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._open: dict[str, Pending] = {}
        self._by_ref: dict[int, Pending] = {}
        self._gate = Gate(services, session, self._send)
        self.deadlines = Deadlines(services, session, self)

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> list[Pending]:
        """Every open request; a copy, so that they may be answered while it is read."""
        return list(self._open.values())

    def get(self, request_id: str) -> Pending | None:
        """The open request of an id."""
        return self._open.get(request_id)

    def by_ref(self, ref: int) -> Pending | None:
        """The open request that a frame of the current link belongs to."""
        return self._by_ref.get(ref)

    def forget_refs(self) -> None:
        """The link has gone; its numbers mean nothing any more."""
        self._by_ref.clear()
        self._gate.forget()

    # --- in -----------------------------------------------------------------------------------------------------

    def accept(self, request: Request, subscriber: Subscriber) -> Pending | None:
        """A new open request, or None when its id is open already and the subscriber has joined. Raises `WireError`."""
        known = self._open.get(request.id)
        if known is not None:
            if not hmac.compare_digest(known.request.hash, request.hash):
                raise WireError("conflict", "the id was used with another body")
            known.join(subscriber)
            return None
        pending = Pending(
            request, subscriber.principal_name, [subscriber], self._services.clock.monotonic(),
            timeout_s_max=float(subscriber.limits["eval_timeout_s"]),
        )  # fmt: skip
        self._admit(pending)
        self._open[request.id] = pending
        return pending

    def _admit(self, pending: Pending) -> None:
        waiting_max = self._session.policy.limits["requests_waiting_max"]
        if len(self._open) >= waiting_max + RUNNING_MAX:
            said = f"{waiting_max} requests wait already"
            raise WireError("busy", said, retry_after_ms=200, limit="requests_waiting_max")
        commits = pending.numbered and self._session.policy.durability != "none"
        if commits and (self._session.committer.store_is_away or self._services.store_is_away):
            raise WireError("store_unavailable", "the store is away; nothing was started", retry_after_ms=1000)

    def dispatch(self, pending: Pending) -> None:
        """Send it to the agent, with its stamp, and arm its deadline; where its intent goes first, later."""
        if not self._gate.holds(pending):
            self._send(pending)

    def _send(self, pending: Pending) -> None:
        link = self._session.link
        if link is None:
            raise AssertionError("dispatched without a link")
        request = pending.request
        pending.dispatched, pending.ref = True, link.next_ref()
        self._by_ref[pending.ref] = pending
        if_seq, flags = _header(pending)
        mark = self.stamp(request.id, request.hash, pending.principal)
        said = (
            request.id.encode(),
            request.type.encode(),
            request.hash,
            mark,
            pending.principal.encode(),
            request.body,
        )
        link.send(Kind.REQUEST, (if_seq, *said), flags=flags, ref=pending.ref)
        faults.mark("after-dispatch")
        self._intend(pending)
        self.deadlines.dispatched(pending)

    def _intend(self, pending: Pending) -> None:
        if pending.numbered and not pending.intended and self._session.policy.durability != "none":
            pending.intended = True
            self._services.intents.add(self._session.record, pending)

    def stamp(self, request_id: str, hashed: bytes, principal: str) -> bytes:
        """The MAC of a request in this session's generation."""
        generation = self._session.record.generation
        return stamp(self._services.config.stamp_key, self._session.id, generation, request_id, hashed, principal)

    def running(self) -> Pending | None:
        """The dispatched numbered request that the agent must be working on, as far as this front door knows."""
        uncommitted = {outcome.request_id for outcome in self._session.committer.waiting}
        for pending in self._open.values():
            if pending.dispatched and pending.numbered and pending.request.id not in uncommitted:
                return pending
        return None

    # --- out ----------------------------------------------------------------------------------------------------

    def answer(self, pending: Pending, type_: str, payload: Json) -> None:
        """The one terminal envelope of a request, to everyone who waits for it."""
        if self._open.pop(pending.request.id, None) is None:
            return
        self._by_ref.pop(pending.ref, None)
        pending.disarm()
        if pending.over is not None:
            pending.over.set_result(None)
        text = to_text(envelope(type_, payload, self._services.clock.now(), id_=pending.request.id))
        for waiter in pending.waiters:
            waiter.deliver(text)

    def fail(self, pending: Pending, error: WireError) -> None:
        """End a request with an error."""
        incident = self._services.incident_of(error)
        request_id = pending.request.id
        _log.info(
            "request failed", session_id=self._session.id, request_id=request_id, code=error.code, incident=incident
        )
        self._services.metrics.evals.labels(error.code).inc()
        self.answer(pending, "error", error.payload(incident))

    def refuse(self, pending: Pending, error: WireError) -> None:
        """End a request that was not started, and is not going to be."""
        if pending.intended:
            self._services.intents.withdraw(self._session.record, pending)
        self.fail(pending, error)

    def fail_all(self, error: WireError) -> None:
        """End every open request with the same error."""
        for pending in self.all():
            self.fail(pending, error)

    def leave(self, subscriber: Subscriber) -> None:
        """A client has gone: its evals go on, or are interrupted, as each of them asked."""
        for pending in self.all():
            if subscriber in pending.waiters:
                pending.waiters.remove(subscriber)
                payload = pending.request.payload
                unwanted = not pending.waiters and isinstance(payload, Eval) and payload.on_disconnect == "interrupt"
                if unwanted:
                    self._withdraw(pending)

    def _withdraw(self, pending: Pending) -> None:
        """Nobody wants it any more: it does not start, or it is interrupted; what else runs is left alone."""
        link = self._session.link
        if not pending.dispatched:
            self.refuse(pending, WireError("cancelled", "its client left before it started"))
        elif link is not None:
            link.send(Kind.CANCEL, (pending.request.id.encode(),), ref=link.next_ref())
            self.deadlines.stop(pending, "interrupted")

    def owes(self, subscriber: Subscriber) -> bool:
        """Whether a client still waits for an answer."""
        return any(subscriber in pending.waiters for pending in self._open.values())

    @property
    def has_dispatched(self) -> bool:
        """Whether the worker may have something of ours."""
        return any(pending.dispatched for pending in self._open.values())


def _header(pending: Pending) -> tuple[bytes, int]:
    payload = pending.request.payload
    if not isinstance(payload, Eval):
        return _NO_SEQ, request_flags(stream=False, numbered=pending.numbered, stdin=False)
    if_seq = _NO_SEQ if payload.if_seq is None else SEQ.pack(payload.if_seq)
    return if_seq, request_flags(stream=payload.stream, numbered=True, stdin=payload.allow_stdin)
