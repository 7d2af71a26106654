"""The end of a generation: what the store says of it is final, and everybody who waits or was told something hears it.

Only after the generation was raised: before, a commit of it may be on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from orchestrator.core.encoding import canonical_bytes
from orchestrator.core.outcomes import Outcome, with_commit
from orchestrator.core.session import Record
from orchestrator.engine.going_back import REWOUND, open_entry, seq_left
from orchestrator.engine.services import Services
from replwire.cursors import Cursor
from replwire.errors import ERROR_CODES, WireError
from replwire.messages import terminal_type

if TYPE_CHECKING:
    from orchestrator.engine.requests import Pending
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")

PARKED: Final = "parked"
"""A cause in a record that is no error code, as `REWOUND` is."""

_TRANSIENT: Final = frozenset({"store_unavailable", "busy", "capacity"})
"""Codes that say that nothing was started."""


class Settler:
    """Of one `LiveSession`."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session

    async def settle_if_moved(self, record: Record) -> bool:
        """Whether the generation that we knew was ended by somebody else; then what is stored of it is final."""
        session = self._session
        if record.generation == session.record.generation:
            return False
        old = session.record.worker
        session.dismiss()
        if record.cause == PARKED and record.generation == session.record.generation + 1:
            # Its worker had agreed to begin nothing: what was sent to it and has no outcome was never started.
            await self._take_back()
        await self.settle(record, _why_moved(record))
        if old is not None:
            # Of an older generation, and so no good to anyone; another server can't always end it.
            session.connector.end_worker(old)
        return True

    async def _take_back(self) -> None:
        for pending in [item for item in self._session.requests.all() if item.dispatched]:
            if not (pending.numbered and await self._stored(pending)):
                pending.dispatched = pending.started = pending.intended = False

    async def settle(self, record: Record, error: WireError) -> None:
        """The generation of before is over and the record final: each request that was dispatched ends now, and who
        was told live of what did not happen is told so."""
        session = self._session
        session.committer.stop()
        session.committer.settle(record.seq, record.etag)
        left = await seq_left(self._services, session, record)
        if left is not None:
            error = WireError("session_regressed", f"of the commits that were known only those up to {left} are left")
            _log.warning("store went back", session_id=session.id, seq=record.seq, known=session.committer.seq)
        lost = (
            left is not None
            or bool(session.acknowledger.kept)
            or bool(session.committer.waiting)
            or record.cause == REWOUND
        )
        session.acknowledger.kept.clear()
        for pending in [item for item in session.requests.all() if item.dispatched or record.cause == REWOUND]:
            if not (pending.dispatched and pending.numbered and await self._stored(pending)):
                lost = lost or pending.numbered
                session.requests.fail(pending, _for_request(error, record))
        session.record, session.last_event = record, Cursor(record.generation, 0)
        session.committer = session.new_committer(record, ())
        if lost:
            cause = REWOUND if record.cause == REWOUND else error.code
            to = undone_after(record) if left is None else left
            said = {"to": to, "cause": cause, "generation": record.generation}
            session.tell("rolled_back", said, cursor=session.last_event)

    async def _entry(self, request_id: str) -> dict[str, Any] | None:
        """The journal entry of an id, if the store has it. Raises `outcome_unknown` when it does not open."""
        session = self._session
        found = await self._services.store.outcome(session.id, request_id)
        if found is None:
            return None
        return open_entry(self._services, session, *found)

    async def _stored(self, pending: Pending) -> bool:
        """Answer from the store, if it has the outcome."""
        entry = await self._entry(pending.request.id)
        if entry is not None:
            self._answer_with(pending, entry["seq"], entry)
        return entry is not None

    def _answer_with(self, pending: Pending, seq: int, entry: dict[str, Any]) -> None:
        requests, request, result = self._session.requests, pending.request, entry["result"]
        if (entry["type"], canonical_bytes(entry["body"])) != (request.type, request.body):
            requests.fail(pending, WireError("conflict", "the id was used with another body"))
        elif "error" in result and entry["type"] != "eval":
            requests.fail(pending, WireError(result["error"]["code"], result["error"]["message"]))
        else:
            durable = self._services.facts.found_durable
            payload = with_commit(result, seq=seq, state="committed", durable=durable, etag=entry.get("etag"))
            requests.answer(pending, terminal_type(entry["type"]), payload)

    async def answer_from_store(self, pending: Pending) -> None:
        """The id was committed before: its stored outcome, or `outcome_unknown`, is the answer."""
        try:
            if not await self._stored(pending):
                self._session.requests.fail(
                    pending, WireError("outcome_unknown", "the outcome of this id is no longer kept")
                )
        except WireError as error:
            self._session.requests.fail(pending, error)

    async def tell_committed(self, outcome: Outcome, *, was_kept: bool) -> None:
        """Another front door has committed it: what is stored is told to those who wait here."""
        session = self._session
        if was_kept and (entry := await self._entry(outcome.request_id)) is not None:
            said = {"target": outcome.request_id, "seq": outcome.seq, "etag": entry.get("etag")}
            session.tell("committed", {**said, "durable": self._services.facts.found_durable})
        pending = session.requests.get(outcome.request_id)
        if pending is not None:
            pending.disarm()
            await self.answer_from_store(pending)

    async def answer_stored(self) -> None:
        """End the dispatched requests whose outcome the store has."""
        for pending in [item for item in self._session.requests.all() if item.dispatched and item.numbered]:
            await self._stored(pending)

    def give_up(self, error: WireError) -> None:
        """There is no way to a worker now: every open request ends."""
        requests = self._session.requests
        for pending in requests.all():
            # What was sent to a worker may have run, and the store, which knows it, can't be asked.
            unsure = pending.dispatched and error.code in _TRANSIENT
            requests.fail(pending, _unknown(error) if unsure else error)


def _why_moved(record: Record) -> WireError:
    if record.cause == REWOUND:
        return rewound()
    code = record.cause if record.cause in ERROR_CODES else "worker_died"
    return WireError(code, "another front door replaced the worker")


def undone_after(record: Record) -> int:
    """The last seq of before that stands: a rewind has the number that the first of the undone was told with."""
    if record.cause != REWOUND:
        return record.seq
    return record.last_seqs.get(record.generation - 1, record.seq) - 1


def rewound() -> WireError:
    """What ends the requests that a rewind overtook."""
    return WireError("rolled_back", "the session went back to an earlier state", cause=REWOUND)


def _unknown(error: WireError) -> WireError:
    words = f"it was sent to the worker, and whether it took effect is not known: {error.message}"
    return WireError("outcome_unknown", words)


def _for_request(error: WireError, record: Record) -> WireError:
    told = WireError(error.code, error.message, seq=record.seq, generation=record.generation)
    told.details = {**error.details, **told.details}
    return told
