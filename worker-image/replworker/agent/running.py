"""Requests one at a time through the interpreter: queue, start, output, end, interruption."""

from __future__ import annotations

from replwire.frames import NONE, SEQ, EventKind, Flag, Frame, Kind, pack_frame
from replwire.hints import Final
from replworker.agent.breach import InterpreterBreach
from replworker.agent.chunk_frames import ChunkFrames
from replworker.agent.limits import CHECKPOINT_BYTES_BEYOND_STATE
from replworker.agent.links import INTERPRETER, INTERRUPT, Link
from replworker.agent.outcomes import Checkpointed, HandOver, Outcome, outcome_parts
from replworker.agent.parking import Parking
from replworker.agent.requests import AUXILIARY, TYPES, Request, Waiting
from replworker.agent.session import Session
from replworker.agent.text import SILENT
from replworker.plain_json import to_json

_NO_SEQ: Final = SEQ.pack(NONE)
_EMITTED: Final = frozenset((EventKind.DISPLAY, EventKind.CLEAR_OUTPUT))
_RETRY_AFTER_MS: Final = 200


class Unresponsive(Exception):
    """The interpreter did not obey the interrupt of a request that has a time limit of its own."""


class Runner:
    """Of one session. Raises `InterpreterBreach` for what the interpreter may not do."""

    def __init__(self, session: Session, hand_over: HandOver) -> None:
        self._session = session
        self._links = session.links
        self._events = session.events
        self._hand_over = hand_over
        self._waiting = Waiting()
        self._running: Request | None = None
        self._is_asking = False
        self._parking = Parking()
        self._chunks = ChunkFrames()
        self._state_chunks = ChunkFrames()
        self.state_seq = 0  # of the last state that came from a forked child; 0: none did
        self._is_halted = False
        """The interpreter is dead, and what comes waits for its shadow."""

    @property
    def running_id(self) -> str | None:
        """The request that runs."""
        return self._running.id.decode("utf-8", "replace") if self._running is not None else None

    # --- requests -----------------------------------------------------------------------------------------------

    def request(self, link: Link, frame: Frame, now: float) -> None:
        """A REQUEST: run, queued, joined, answered from what is known, or refused."""
        request = Request(link, frame)
        id_ = request.id
        if self._waiting.get(id_) or self._hand_over.get(id_) or self._session.ids.get(id_):
            self._answer_known(request, link, frame.ref, now)
            return
        if self._parking.begins_nothing(now):
            self._links.refuse(link, frame.ref, "busy", "the worker is about to end", parking=1)
            return
        if self._is_refused(request, link, frame.ref):
            return
        self._parking.used(now)
        if self._running is None and not self._is_halted:
            self._waiting.add(request, waits=False)
            self._start(request, now)
        else:
            self._waiting.add(request, waits=True)

    def _answer_known(self, request: Request, link: Link, ref: int, now: float) -> None:
        """The id is in use: who sent the same body joins what runs or gets what is known."""
        live = self._waiting.get(request.id)
        outcome = self._hand_over.get(request.id)
        known_hash, seq = self._session.ids.get(request.id) or (b"", NONE)
        if found := live or outcome:
            known_hash = found.hash
        if known_hash != request.hash:
            self._links.refuse(link, ref, "conflict", "the id was used with another body")
        elif live is not None:
            live.waiters.append((link, ref))
        elif outcome is not None:
            self._hand_over.join(link, ref, outcome, now)
        else:
            self._links.send(link, pack_frame(Kind.KNOWN, (SEQ.pack(seq),), ref=ref))

    def _is_refused(self, request: Request, link: Link, ref: int) -> bool:
        waiting_max = self._session.limits["requests_waiting_max"]
        if request.type not in TYPES:
            self._links.refuse(link, ref, "unknown_type", "no request of that type is served")
        elif self._running is not None and len(self._waiting) >= waiting_max:
            said = f"{waiting_max} requests wait already"
            self._links.refuse(link, ref, "busy", said, retry_after_ms=_RETRY_AFTER_MS)
        elif request.is_numbered and self._hand_over.is_full:
            said = "too many outcomes wait for their commit"
            self._links.refuse(link, ref, "store_unavailable", said, retry_after_ms=_RETRY_AFTER_MS)
        else:
            return False
        return True

    def cancel(self, link: Link, ref: int, target: bytes) -> None:
        """Drop a request that waits."""
        request = self._waiting.cancel(target)
        if request is None:
            is_running = self._running is not None and self._running.id == target
            self._links.reply(link, ref, {"status": "running" if is_running else "unknown"})
            return
        for waiter, waiter_ref in request.waiters:
            self._links.refuse(waiter, waiter_ref, "cancelled", "dropped from the queue before it started")
        self._links.reply(link, ref, {"status": "cancelled"})

    def interrupt(self, link: Link, ref: int, target: bytes) -> None:
        """SIGINT, if what the caller means is what runs."""
        running = self._running
        if running is None or (target and target != running.id):
            self._links.reply(link, ref, {"status": "idle" if running is None else "mismatch"})
            return
        self._send_interrupt()
        # Which one it was: when this arrives, it may be over and the next one running.
        self._links.reply(link, ref, {"status": "interrupted", "target": running.id.decode("utf-8", "replace")})

    def _send_interrupt(self) -> None:
        # What it wrote before it could obey must be read, or it would wait on a full pipe.
        self._links.is_lenient = True
        self._session.effects.append((INTERRUPT, None))

    def input(self, link: Link, ref: int, target: bytes, text: bytes) -> None:
        """A line for `input()`."""
        delivered = self._is_asking and self._running is not None and self._running.id == target
        if delivered:
            self._is_asking = False
            self._session.effects.append((INTERPRETER, pack_frame(Kind.INPUT, (target, text))))
        self._links.reply(link, ref, {"status": "delivered" if delivered else "mismatch"})

    def link_gone(self, link: Link) -> None:
        """Its requests go on, as far as anyone will want to know."""
        self._waiting.link_gone(link)
        if self._running is not None and not self._running.waiters:
            self._tell_orphaned(self._running)

    def _tell_orphaned(self, request: Request) -> None:
        """Whoever is left holds its deadline."""
        for link in self._links.attached:
            self._links.send(link, pack_frame(Kind.ORPHANED, (SEQ.pack(request.seq), request.id)))

    def park(self, link: Link, ref: int, idle_s: float, park_s: float, now: float) -> None:
        """Agree to end, if nothing runs, waits or is unconfirmed and nothing was asked for `idle_s`: then nothing is
        begun for `park_s`."""
        is_idle = self._running is None and not self._waiting and self._hand_over.is_empty
        is_agreed = is_idle and self._parking.is_agreed(idle_s, park_s, now)
        self._links.reply(link, ref, {"status": "parking" if is_agreed else "busy", "seq": self._session.seq})

    # --- start --------------------------------------------------------------------------------------------------

    def _start_next(self, now: float) -> None:
        while self._running is None and not self._is_halted and (request := self._waiting.next()) is not None:
            self._start(request, now)

    def _start(self, request: Request, now: float) -> None:
        session = self._session
        if request.if_seq not in (NONE, session.seq):
            self._waiting.forget(request)
            for link, ref in request.waiters:
                self._links.refuse(link, ref, "conflict", f"the last seq is {session.seq}", seq=session.seq)
            return
        self._running = request
        seq = _NO_SEQ
        if request.is_numbered:
            seq = self._number(request)
        else:
            name = "auxiliary_timeout_ms" if request.type in AUXILIARY else "eval_timeout_s"
            request.deadline = now + session.limits[name] / (1000 if name.endswith("_ms") else 1)
        if request.had_to_wait:
            for link, ref in request.waiters:
                self._links.send(link, pack_frame(Kind.STARTED, (seq,), ref=ref))
            if not request.waiters:
                self._tell_orphaned(request)
        flags = request.flags & Flag.STDIN | (Flag.SNAPSHOT if request.is_numbered and session.keeps_state else 0)
        parts = (seq, request.type, request.id, request.body)
        session.effects.append((INTERPRETER, pack_frame(Kind.RUN, parts, flags=flags)))

    def _number(self, request: Request) -> bytes:
        session, events = self._session, self._events
        if request.type == b"eval":
            session.output.begin(streaming=bool(request.flags & Flag.STREAM))
        request.seq = session.seq + 1
        request.first_event = events.last_number
        events.seq, events.request_id = request.seq, request.id
        return SEQ.pack(request.seq)

    # --- from the interpreter -----------------------------------------------------------------------------------

    def done(self, frame: Frame, now: float) -> None:
        """The running request has ended, and all its output has been taken."""
        request = self._running
        if request is None:
            raise InterpreterBreach("an outcome of nothing")
        told, _manifest, _references = frame.parts
        self._running, self._is_asking, self._links.is_lenient = None, False, False
        self._parking.used(now)
        self._waiting.forget(request)
        if request.is_numbered:
            self._executed(request, frame, now)
        else:
            self._chunks.take()
            for link, ref in request.waiters if not request.timed_out else ():
                self._links.send(link, pack_frame(Kind.REPLY, (told,), ref=ref))
        self._start_next(now)

    def _executed(self, request: Request, frame: Frame, now: float) -> None:
        session, events = self._session, self._events
        # Of files and the like a reply tells, which has no place for text: it waits for the next eval.
        output = session.output.finish() if request.type == b"eval" else SILENT
        session.seq = request.seq
        events.seq, events.request_id = NONE, b""
        parts = outcome_parts(request, frame.parts, output, events.last_number)
        is_ready = not frame.flags & Flag.STATE_FOLLOWS
        self._hand_over.add(Outcome(request, parts, self._chunks.take(), is_ready=is_ready), now)

    def chunk(self, frame: Frame, *, of_state: bool) -> None:
        """A piece of a checkpoint; `of_state`: from a forked child."""
        most = self._session.limits.get("state_bytes_max", 0) + CHECKPOINT_BYTES_BEYOND_STATE
        (self._state_chunks if of_state else self._chunks).add(frame, most)

    def state(self, frame: Frame, now: float) -> None:
        """The checkpoint that a forked child made."""
        seq, manifest, references, unsaved = frame.parts
        running_seq = self._running.seq if self._running is not None else 0
        state = Checkpointed(manifest, references, unsaved, self._state_chunks.take())
        self.state_seq = SEQ.unpack(seq)[0]
        self._hand_over.state(self.state_seq, state, running_seq, now)

    @property
    def shadow_seq(self) -> int | None:
        """Of the state that a shadow may take over with: the last one, if it came from a forked child and is here."""
        seq = self._session.seq
        return seq if self._session.may_be_taken_over and self.state_seq == seq > 0 else None

    def undone(self, code: str, message: str) -> None:
        """The interpreter has died, and its shadow is the interpreter now: what ran did not happen. Those who wait for
        it hear of it, and so does everybody who may have seen output of it."""
        request, session = self._running, self._session
        for chunks in (self._chunks, self._state_chunks):
            chunks.take()
        self._hand_over.undone()
        session.output.drop()
        session.events.belongs_to(NONE, b"")
        self._running, self._is_asking, self._links.is_lenient = None, False, False
        if request is not None:
            self._waiting.forget(request)
            for link, ref in request.waiters if not request.timed_out else ():
                self._links.refuse(link, ref, code, message, seq=session.seq, began=1)
            if request.is_numbered:
                said = {"to": session.seq, "cause": code}
                session.events.publish(EventKind.ROLLED_BACK, to_json(said))

    def halt(self) -> None:
        """Begin nothing until `go_on`."""
        self._is_halted = True

    def go_on(self, now: float) -> None:
        """With what waits."""
        self._is_halted = False
        self._parking.used(now)
        self._start_next(now)

    def emit(self, frame: Frame) -> None:
        """`display()` and `clear_output()`; beyond `output_bytes_max` of one eval they are cut and counted."""
        kind, body = frame.parts
        if len(kind) != 1 or kind[0] not in _EMITTED:
            raise InterpreterBreach("an event of a kind that is not the interpreter's to make")
        output = self._session.output
        if output.is_wanted and output.displayed(len(body)):
            self._events.publish(kind[0], body)

    def ask(self, frame: Frame) -> None:
        """`input()` waits for a line. Between requests there is nobody to ask."""
        (body,) = frame.parts
        if self._running is not None:
            self._is_asking = True
            self._events.publish(EventKind.INPUT_REQUEST, body)

    # --- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When the running request has had its time."""
        return self._running.deadline if self._running is not None else None

    def tick(self, now: float) -> None:
        """Stop what is over its own time limit; raises `Unresponsive` when it does not stop."""
        request = self._running
        if request is None or request.deadline is None or now < request.deadline:
            return
        if request.timed_out:
            raise Unresponsive(f"{request.type.decode()} did not stop when it was interrupted")
        request.timed_out = True
        request.deadline = now + self._session.limits["interrupt_grace_s"]
        for link, ref in request.waiters:
            self._links.refuse(link, ref, "timeout", "the time limit passed")
        self._send_interrupt()
