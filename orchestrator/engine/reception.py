"""What comes from a session's worker: events to everyone, outcomes to their commits, answers to those who asked.

Nothing of it is trusted; what is not as agreed is a `ProtocolBreach`, and the worker is replaced.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Any, Final

import structlog

from orchestrator import faults
from orchestrator.core.commits import body_hash
from orchestrator.core.outcomes import (
    Outcome,
    ProtocolBreach,
    bounded_unsaved,
    read_object,
    read_outcome,
    with_commit,
)
from orchestrator.engine.events import event_envelope
from orchestrator.engine.link import BEGAN, PARKING, Link, refusal
from orchestrator.engine.requests import Consumption, Pending
from orchestrator.engine.services import Services
from replwire.cursors import Cursor
from replwire.errors import WireError
from replwire.frames import Frame, Kind
from replwire.messages import terminal_type

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")

_CLIENT_FAULTS: Final = frozenset(
    {"not_found", "bad_message", "too_large", "quota_exceeded", "timeout", "forbidden", "conflict"}
)
"""Error codes that a worker may answer an auxiliary or files request with."""


class Reception:
    """Of one `LiveSession`."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._succeeded = services.metrics.evals.labels("ok")
        self._failed = services.metrics.evals.labels("error")
        self.last_words: dict[str, Any] = {}
        """What the agent said of its interpreter's death."""

    def frame(self, link: Link, frame: Frame) -> None:
        """One frame that answers no call."""
        match frame.kind:
            case Kind.EVENT:
                self._event(link, frame)
            case Kind.OUTCOME:
                self._outcome(read_outcome(frame))
            case Kind.CHUNK:
                self._chunk(frame)
            case Kind.STARTED:
                self._started(frame)
            case Kind.REPLY | Kind.REFUSED:
                self._replied(frame)
            case Kind.KNOWN | Kind.COMMITTED:
                self._known(frame)
            case Kind.ORPHANED:
                self._orphaned(frame)
            case Kind.TAKEN_OVER:
                self._taken_over(read_object(frame.parts[0] if frame.parts else b"{}"))
            case Kind.DIED:
                self._died(read_object(frame.parts[0] if frame.parts else b"{}"))
            case _:
                raise ProtocolBreach(f"a frame of kind {frame.kind} out of turn")

    # --- events -------------------------------------------------------------------------------------------------

    def _event(self, link: Link, frame: Frame) -> None:
        session = self._session
        number, text, cost_bytes, is_ours = event_envelope(frame, session.record.generation, self._services.clock.now())
        if number <= session.last_event.number:
            session.catch_up.replayed(text, cost_bytes, link.consumed)
        elif number == session.last_event.number + 1:
            session.last_event = Cursor(session.record.generation, number)
            self._publish(link, text, cost_bytes, is_ours=is_ours)
        else:
            raise ProtocolBreach(f"event {number} came after event {session.last_event.number}")

    def _publish(self, link: Link, text: str, cost_bytes: int, *, is_ours: bool) -> None:
        """`is_ours`: a word about the session's own life, which not everybody wants."""
        subscribers = tuple(item for item in self._session.subscribers if item.told_everything or not is_ours)
        if not subscribers:
            link.consumed(cost_bytes)
            return
        batch = Consumption(len(subscribers), cost_bytes, link.consumed)
        for subscriber in subscribers:
            subscriber.deliver(text, cost_bytes, batch)

    # --- answers to requests without a number -------------------------------------------------------------------

    def _started(self, frame: Frame) -> None:
        pending = self._session.requests.by_ref(frame.ref)
        if pending is None:
            return
        if pending.started:
            raise ProtocolBreach("a request started twice")
        pending.started = True
        self._session.requests.deadlines.arm(pending)

    def _replied(self, frame: Frame) -> None:
        pending = self._session.requests.by_ref(frame.ref)
        if pending is None:
            return
        if frame.kind == Kind.REFUSED:
            self._refused(pending, refusal(frame))
            return
        if pending.numbered:
            raise ProtocolBreach("a numbered request was answered without an outcome")
        self._answer(pending, read_object(frame.parts[0] if frame.parts else b"{}"))

    def _refused(self, pending: Pending, error: WireError) -> None:
        if error.details.pop(BEGAN, None):
            error.details["generation"] = self._session.record.generation
            self._session.requests.fail(pending, error)
        elif error.details.pop(PARKING, None):
            self._session.refused_by_parking(pending)
        else:
            self._session.requests.refuse(pending, error)

    def _died(self, said: dict[str, Any]) -> None:
        self.last_words = said
        if refused := said.get("refused"):
            _log.info("no shadow took over", session_id=self._session.id, cause=str(refused)[:1000])

    def _taken_over(self, said: dict[str, Any]) -> None:
        """The interpreter died, and the session goes on with the process that kept its last state."""
        session, unsaved = self._session, said.get("unsaved")
        if not isinstance(unsaved, dict) or not all(isinstance(reason, str) for reason in unsaved.values()):
            raise ProtocolBreach("a malformed word about the interpreter")
        session.lost = bounded_unsaved(unsaved)
        session.stray.forget()
        _log.warning(
            "interpreter replaced by its shadow", session_id=session.id, generation=session.record.generation,
            cause=str(said.get("message", ""))[:1000], seq=said.get("seq"), lost=len(unsaved),
        )  # fmt: skip
        session.tell("status", {"status": "ready", "cause": "taken_over", "unsaved": session.lost})

    def _orphaned(self, frame: Frame) -> None:
        """A request runs that another front door had asked for, which is gone."""
        if len(frame.parts) != 2:
            raise ProtocolBreach("a malformed word about a request")
        id_ = frame.parts[1]
        if self._session.requests.get(request_id := id_.decode("ascii", "replace")) is None:
            self._session.stray.found(request_id)

    def _answer(self, pending: Pending, payload: dict[str, Any]) -> None:
        type_ = pending.request.type
        if type_ != "eval" and "error" in payload:
            self._session.requests.fail(pending, client_fault(payload["error"]))
        else:
            self._session.requests.answer(pending, terminal_type(type_), payload)

    def _known(self, frame: Frame) -> None:
        pending = self._session.requests.by_ref(frame.ref)
        if pending is not None:
            self._session.connector.answer_from_store(pending)

    # --- outcomes -----------------------------------------------------------------------------------------------

    def _chunk(self, frame: Frame) -> None:
        if len(frame.parts) != 2:
            raise ProtocolBreach("a malformed chunk")
        self._session.committer.take_chunk(*frame.parts)

    def _outcome(self, outcome: Outcome) -> None:
        faults.mark("after-execute")
        session = self._session
        pending = session.requests.get(outcome.request_id)
        if pending is None or not _is_of(outcome, pending):
            self._check_stamp(outcome)
        if outcome.type != "eval" and "error" in outcome.payload:
            client_fault(outcome.payload["error"])  # refused now, not when its commit is there
        if outcome.last_event > session.last_event.number:
            raise ProtocolBreach(f"eval {outcome.seq} ends with an event that was not sent")
        if pending is not None and pending.stop_reason and outcome.type == "eval" and outcome.payload["error"]:
            outcome.payload["error"]["code"] = pending.stop_reason
        session.stray.ended(outcome.request_id)
        session.holds_unsaved = bool(outcome.payload.get("unsaved"))
        if session.policy.durability == "none":
            self._without_commit(outcome)
        elif outcome.seq <= session.committer.seq:
            self._offered_again(outcome, pending)
        else:
            session.committer.add(outcome)
            if pending is not None:
                self._wait_for_commit(pending, outcome)

    def _check_stamp(self, outcome: Outcome) -> None:
        if body_hash(outcome.type, outcome.body) != outcome.body_hash:
            raise ProtocolBreach("an outcome with another body than its hash")
        expected = self._session.requests.stamp(outcome.request_id, outcome.body_hash, outcome.principal)
        if not hmac.compare_digest(expected, outcome.stamp):
            raise ProtocolBreach("an outcome of a request that no front door dispatched")

    def _without_commit(self, outcome: Outcome) -> None:
        committer = self._session.committer
        if outcome.seq <= committer.seq:
            raise ProtocolBreach(f"eval {outcome.seq} came after eval {committer.seq}")
        committer.seq = outcome.seq
        self.finished(outcome, "kept", "none", None)

    def _offered_again(self, outcome: Outcome, pending: Pending | None) -> None:
        """It was committed, and the word of it did not reach the agent: what is stored is the answer."""
        self._session.acknowledger.confirm(self._session.committer.seq, outcome.request_id)
        if pending is not None:
            pending.disarm()
            self._session.connector.answer_from_store(pending)

    def _wait_for_commit(self, pending: Pending, outcome: Outcome) -> None:
        pending.disarm()
        if self._session.policy.durability == "async":
            self._keep(outcome)
        else:
            wait_s = self._services.config.commit_wait_ms / 1000
            pending.timers.append(asyncio.get_running_loop().call_later(wait_s, self._keep, outcome))

    def _keep(self, outcome: Outcome) -> None:
        """The result goes out before its commit, and says so."""
        self._session.acknowledger.kept.add(outcome.seq)
        self.finished(outcome, "kept", "none", None)

    def finished(self, outcome: Outcome, state: str, durable: str, etag: str | None) -> None:
        """The terminal of a numbered request, to those who still wait for it."""
        pending = self._session.requests.get(outcome.request_id)
        if pending is None:
            return
        faults.mark("before-result")
        metrics = self._services.metrics
        (self._failed if outcome.payload.get("error") else self._succeeded).inc()
        metrics.eval_seconds.observe(self._services.clock.monotonic() - pending.accepted_at)
        self._answer(pending, with_commit(outcome.payload, seq=outcome.seq, state=state, durable=durable, etag=etag))


def _is_of(outcome: Outcome, pending: Pending) -> bool:
    """Whether it is the outcome of exactly what we dispatched: then its stamp need not be looked at."""
    request = pending.request
    return (
        pending.dispatched
        and request.hash == outcome.body_hash
        and request.type == outcome.type
        and pending.principal == outcome.principal
        and request.body == outcome.body
    )


def client_fault(error: Any) -> WireError:
    """What a worker says of a request that it could not serve; raises `ProtocolBreach`."""
    code = error.get("code") if isinstance(error, dict) else None
    if code not in _CLIENT_FAULTS:
        raise ProtocolBreach("an error without a code of ours")
    return WireError(code, str(error.get("message", ""))[:1000])
