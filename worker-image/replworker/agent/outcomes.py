"""Outcomes of numbered requests, from their execution until a front door confirms that they are committed.

An outcome is offered to a link that waits for it, else to any; unconfirmed after `handover_ms` to the next one as
well, for a front door may be stopped with its link open. A link that gets an outcome has got every unconfirmed one
before it too, in order: a commit carries all of them.
"""

from __future__ import annotations

from replwire.frames import FRAME_BYTES_MAX, OUTCOME_HEAD, SEQ, Kind, pack_frame
from replwire.hints import Any, Final
from replworker.agent.breach import InterpreterBreach, LinkBreach
from replworker.agent.limits import OUTCOME_BYTES_UNCONFIRMED_MAX, OUTCOMES_UNCONFIRMED_MAX
from replworker.agent.links import Link
from replworker.agent.requests import Request
from replworker.agent.session import Session
from replworker.plain_json import from_json, to_json

_FRAME_OVERHEAD_BYTES: Final = 128
_TOLD, _MANIFEST, _REFERENCES = 7, 10, 11


class Outcome:
    """One executed request; `parts` are those of the OUTCOME frame."""

    __slots__ = ("chunks", "hash", "holders", "id", "is_ready", "offered_at", "parts", "seq", "size_bytes", "waiters")

    def __init__(self, request: Request, parts: list[bytes], chunks: list[bytes], *, is_ready: bool) -> None:
        self.seq = request.seq
        self.id = request.id
        self.hash = request.hash
        self.waiters = request.waiters
        self.parts = parts
        self.chunks = chunks
        """CHUNK frames that go before it, packed."""
        self.is_ready = is_ready
        """False until its checkpoint has come from the interpreter's forked child."""
        self.holders: list[Link] = []
        """Links that have got it."""
        self.offered_at: float | None = None
        self.size_bytes = 0
        """What keeping it costs."""
        self.measure()

    def measure(self) -> None:
        """Raises `InterpreterBreach` when it fits into no frame."""
        frame_bytes = sum(map(len, self.parts)) + _FRAME_OVERHEAD_BYTES
        if frame_bytes > FRAME_BYTES_MAX:
            raise InterpreterBreach("an outcome is too large for a frame")
        self.size_bytes = frame_bytes + (sum(map(len, self.chunks)) if self.chunks else 0)


def outcome_parts(
    request: Request, done: tuple[bytes, ...], output: tuple[bytes, bytes, int, int], last: int
) -> list[bytes]:
    """The parts of an OUTCOME frame, from those of DONE, the texts and counts of the output, and its last event."""
    told, manifest, references = done
    stdout, stderr, written_bytes, cut_bytes = output
    head = OUTCOME_HEAD.pack(request.seq, request.first_event, last, written_bytes, cut_bytes)
    return [
        head, request.id, request.type, request.hash, request.stamp, request.principal, request.body, told, stdout,
        stderr, manifest, references,
    ]  # fmt: skip


class Checkpointed:
    """A STATE frame with the chunks that came before it."""

    __slots__ = ("chunks", "manifest", "references", "unsaved")

    def __init__(self, manifest: bytes, references: bytes, unsaved: bytes, chunks: list[bytes]) -> None:
        self.manifest, self.references, self.unsaved, self.chunks = manifest, references, unsaved, chunks

    def complete(self, outcome: Outcome) -> None:
        """Put the checkpoint into the outcome that waits for it."""
        outcome.parts[_MANIFEST], outcome.parts[_REFERENCES] = self.manifest, self.references
        outcome.parts[_TOLD] = _with_unsaved(outcome.parts[_TOLD], self.unsaved)
        outcome.chunks += self.chunks
        outcome.measure()
        outcome.is_ready = True


def _with_unsaved(told: bytes, unsaved: bytes) -> bytes:
    try:
        said: dict[str, Any] = from_json(told)
        said["unsaved"] = {**said.get("unsaved", {}), **from_json(unsaved)}
    except (ValueError, TypeError, RecursionError) as error:
        raise InterpreterBreach(f"a malformed outcome or state: {error}") from None
    return to_json(said)


class HandOver:
    """Every unconfirmed outcome of the session, in order."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._links = session.links
        self._pending: dict[int, Outcome] = {}
        self._by_id: dict[bytes, Outcome] = {}
        self._early_states: dict[int, Checkpointed] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no further numbered request may be accepted."""
        return len(self._pending) >= OUTCOMES_UNCONFIRMED_MAX or self._bytes >= OUTCOME_BYTES_UNCONFIRMED_MAX

    @property
    def is_empty(self) -> bool:
        """Whether every outcome is confirmed."""
        return not self._pending

    @property
    def awaits_state(self) -> bool:
        """Whether the checkpoint of the last outcome has not come yet."""
        outcome = self._pending.get(self._session.seq)
        return outcome is not None and not outcome.is_ready

    def get(self, id_: bytes) -> Outcome | None:
        """An executed, unconfirmed request."""
        return self._by_id.get(id_)

    # --- from the interpreter -----------------------------------------------------------------------------------

    def add(self, outcome: Outcome, now: float) -> None:
        """It was executed."""
        state = self._early_states.pop(outcome.seq, None) if self._early_states else None
        if state is not None and not outcome.is_ready:
            state.complete(outcome)
        self._pending[outcome.seq] = self._by_id[outcome.id] = outcome
        self._bytes += outcome.size_bytes
        link = outcome.waiters[0][0] if len(outcome.waiters) == 1 else None
        if link is not None and link.offered_seq == outcome.seq - 1 and outcome.is_ready and link.attached:
            # What nearly always is so: the one that asked has all that came before.
            self._offer_in_turn(link, outcome, now)
        else:
            self.offer_ready(now)

    def _offer_in_turn(self, link: Link, outcome: Outcome, now: float) -> None:
        for chunk in outcome.chunks:
            self._links.send(link, chunk)
        self._send(link, outcome)
        outcome.offered_at = now
        if not self._session.keeps_state:
            self._committed(outcome)

    def state(self, seq: int, state: Checkpointed, running_seq: int, now: float) -> None:
        """The checkpoint of `seq` has come; it may come before its DONE. A second one says nothing new."""
        outcome = self._pending.get(seq)
        if outcome is None:
            if seq > max(running_seq, self._session.seq):
                raise InterpreterBreach(f"a state of {seq}, which was not executed")
            if seq == running_seq:
                self._early_states = {seq: state}
        elif not outcome.is_ready:
            self._bytes -= outcome.size_bytes
            state.complete(outcome)
            self._bytes += outcome.size_bytes
            self.offer_ready(now)

    def undone(self) -> None:
        """What ran did not happen: a checkpoint that came ahead of its outcome is void."""
        self._early_states.clear()

    # --- to the links -------------------------------------------------------------------------------------------

    def offer_ready(self, now: float) -> None:
        """Offer what no attached link has yet, in order; nothing goes past an outcome whose checkpoint is missing."""
        for outcome in tuple(self._pending.values()):
            if not outcome.is_ready:
                return
            if outcome.offered_at is None:
                self._offer_first(outcome, now)

    def _offer_first(self, outcome: Outcome, now: float) -> None:
        attached = self._links.attached
        waiting = [link for link, _ in outcome.waiters if link.attached]
        if not self._session.keeps_state:
            for link in dict.fromkeys(waiting or attached[:1]):
                self._offer(link, outcome, now)
            if outcome.holders:
                self._committed(outcome)
        elif waiting:
            self._offer(waiting[0], outcome, now)
        elif attached:
            self._offer(attached[0], outcome, now)

    def _offer(self, link: Link, outcome: Outcome, now: float) -> None:
        """Send it, and what was executed before it, as far as this link has not got it."""
        for item in tuple(self._pending.values()):
            if link.offered_seq < item.seq <= outcome.seq:
                for chunk in item.chunks:
                    self._links.send(link, chunk)
                self._send(link, item)
                item.offered_at = now

    def _send(self, link: Link, outcome: Outcome) -> None:
        ref = 0
        for waiter, waiter_ref in outcome.waiters:
            if waiter is link:
                ref = waiter_ref
                break
        self._links.send(link, pack_frame(Kind.OUTCOME, tuple(outcome.parts), ref=ref))
        link.offered_seq = max(link.offered_seq, outcome.seq)
        if link not in outcome.holders:
            outcome.holders.append(link)

    # --- from the links -----------------------------------------------------------------------------------------

    def join(self, link: Link, ref: int, outcome: Outcome, now: float) -> None:
        """The same request again: it is offered to this link too."""
        outcome.waiters.append((link, ref))
        if not outcome.is_ready or outcome.offered_at is None:
            return
        if link.offered_seq < outcome.seq:
            self._offer(link, outcome, now)
        else:
            self._links.send(link, pack_frame(Kind.OUTCOME, tuple(outcome.parts), ref=ref))

    def confirm(self, link: Link, seq: int) -> None:
        """Everything up to `seq` is committed; whoever else waits is told so. Raises `LinkBreach`."""
        if seq > self._session.seq:
            raise LinkBreach(f"{seq} was never executed")
        for outcome in tuple(self._pending.values()):
            if outcome.seq > seq:
                break
            self._committed(outcome)
            self._tell(outcome, link)

    def _committed(self, outcome: Outcome) -> None:
        del self._pending[outcome.seq], self._by_id[outcome.id]
        self._bytes -= outcome.size_bytes
        self._session.committed = outcome.seq
        self._session.ids.add(outcome.id, outcome.hash, outcome.seq)

    def _tell(self, outcome: Outcome, confirming: Link) -> None:
        """COMMITTED to each waiter, except the one that got the outcome and now confirms it."""
        told = False
        for link, ref in outcome.waiters:
            if link is confirming and not told and link in outcome.holders:
                told = True
            else:
                self._links.send(link, pack_frame(Kind.COMMITTED, (SEQ.pack(outcome.seq), outcome.id), ref=ref))

    def link_gone(self, link: Link, now: float) -> None:
        """What only that link had is offered to another one."""
        for outcome in self._pending.values():
            outcome.waiters = [waiter for waiter in outcome.waiters if waiter[0] is not link]
            if link in outcome.holders:
                outcome.holders.remove(link)
                if not outcome.holders:
                    outcome.offered_at = None
        self.offer_ready(now)

    # --- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When an outcome has to be offered to one more link."""
        due = [item.offered_at for item in self._pending.values() if item.offered_at is not None and self._next(item)]
        return min(due) + self._handover_s if due else None

    def tick(self, now: float) -> None:
        """Hand over what was not confirmed in time."""
        for outcome in tuple(self._pending.values()):
            if outcome.offered_at is not None and now >= outcome.offered_at + self._handover_s:
                link = self._next(outcome)
                if link is not None:
                    self._offer(link, outcome, now)

    @property
    def _handover_s(self) -> float:
        return self._session.limits["handover_ms"] / 1000

    def _next(self, outcome: Outcome) -> Link | None:
        return next((link for link in self._links.attached if link not in outcome.holders), None)
