"""The agent's decisions: frames in, effects out. No sockets, no processes, no clock but an argument.

The loop calls one method for each thing that happens and then carries out `effects` in order. Nothing raises: what a
front door does wrong costs its link, what the interpreter does wrong costs the worker.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from replwire.frames import COUNT, SEQ, Frame, Kind, pack_frame
from replwire.hints import Final
from replworker.agent.breach import InterpreterBreach, LinkBreach
from replworker.agent.claiming import Claim, RestoreFailed
from replworker.agent.endings import told_of
from replworker.agent.is_complete import is_complete
from replworker.agent.limits import LINK_STALL_S
from replworker.agent.links import END, KILL, Effect, Link
from replworker.agent.outcomes import HandOver
from replworker.agent.running import Runner, Unresponsive
from replworker.agent.session import Session
from replworker.agent.takeover import Takeover
from replworker.plain_json import to_json

PROTOCOL: Final = 1
"""Of the internal socket, in HELLO."""

_OUT_OF_TURN: Final = (LinkBreach, ValueError, TypeError, IndexError, RecursionError, struct.error)
_BEFORE_ATTACHED: Final = frozenset((Kind.CLAIM, Kind.IDS, Kind.ATTACH, Kind.CHUNK, Kind.PING))


class Agent:
    """Of one worker. `python` is the version that HELLO tells."""

    def __init__(self, python: str) -> None:
        session = self._session = Session()
        self._python = python
        self.links = session.links
        """`is_held_up` there says that the interpreter must not be read: a front door has to take what it got first."""
        self._claim = Claim(session)
        self._hand_over = HandOver(session)
        self._runner = Runner(session, self._hand_over)
        self._takeover = Takeover(session, self._claim, self._runner)
        self.effects: list[Effect] = session.effects
        self.output = session.output
        self.is_ready = False
        """The interpreter has said that it can run."""
        self.has_ended = False
        self._from_link: dict[int, Callable[[Link, Frame, float], None]] = {
            Kind.REQUEST: self._request,
            Kind.CONFIRM: self._confirm,
            Kind.CREDIT: self._credit,
            Kind.INTERRUPT: self._interrupt,
            Kind.CANCEL: self._cancel,
            Kind.INPUT: self._input,
            Kind.REPLAY: self._replay,
            Kind.PING: self._ping,
            Kind.PARK: self._park,
            Kind.END: self._end_now,
            Kind.CLAIM: self._claimed,
            Kind.IDS: self._ids,
            Kind.CHUNK: self._chunk,
            Kind.ATTACH: self._attach,
        }
        self._from_interpreter: dict[int, Callable[[Frame, float], None]] = {
            Kind.DONE: self._runner.done,
            Kind.EMIT: lambda frame, now: self._runner.emit(frame),
            Kind.ASK: lambda frame, now: self._runner.ask(frame),
            Kind.CHUNK: lambda frame, now: self._runner.chunk(frame, of_state=False),
            Kind.READY: self._interpreter_ready,
            Kind.RESTORED: lambda frame, now: self._claim.restored(frame),
        }

    # --- what happens: links ------------------------------------------------------------------------------------

    def link_opened(self, key: int) -> Link:
        """A front door has dialled; `key` is its address in effects."""
        link = Link(key)
        self.links.open[key] = link
        body = {"protocol": PROTOCOL, "python": self._python, "state": self._claim.state}
        self.links.say(link, Kind.HELLO, 0, body)
        return link

    def link_frame(self, link: Link, frame: Frame, now: float) -> None:
        """A frame from a front door."""
        if self.has_ended or not link.open:
            return
        handler = self._from_link.get(frame.kind)
        try:
            if handler is None or not (link.attached or frame.kind in _BEFORE_ATTACHED):
                raise LinkBreach(f"a frame of kind {frame.kind} out of turn")
            handler(link, frame, now)
        except _OUT_OF_TURN:
            self.drop(link, now)
        except InterpreterBreach as breach:
            self.breached(str(breach))

    def drop(self, link: Link, now: float) -> None:
        """Hang up on a link that broke the framing or the protocol, or takes too much room."""
        if link.open:
            self.effects.append((link.key, None))
            self.link_closed(link, now)

    def link_closed(self, link: Link, now: float) -> None:
        """A front door has gone."""
        if not link.open:
            return
        self.links.forget(link)
        self._runner.link_gone(link)
        self._hand_over.link_gone(link, now)
        if self._claim.link_gone(link):
            self._end({"code": "restore_failed", "message": "the claim was never completed"})

    # --- what happens: the interpreter --------------------------------------------------------------------------

    def interpreter_frame(self, frame: Frame, now: float) -> None:
        """A frame on the interpreter's control socket; its output up to there has been taken."""
        self._serve(self._from_interpreter.get(frame.kind, self._state_frame), frame, now)

    def state_frame(self, frame: Frame, now: float) -> None:
        """A frame on the channel of the forked snapshot children."""
        self._serve(self._state_frame, frame, now)

    def _serve(self, handler: Callable[[Frame, float], None], frame: Frame, now: float) -> None:
        if self.has_ended:
            return
        try:
            handler(frame, now)
        except InterpreterBreach as breach:
            self.breached(str(breach))
        except (ValueError, struct.error):
            self.breached(f"a malformed frame of kind {frame.kind}")
        except RestoreFailed as failure:
            self._end({"code": "restore_failed", "message": str(failure)})

    def _state_frame(self, frame: Frame, now: float) -> None:
        if frame.kind == Kind.CHUNK:
            self._runner.chunk(frame, of_state=True)
        elif frame.kind == Kind.STATE:
            self._runner.state(frame, now)
        else:
            raise InterpreterBreach(f"a frame of kind {frame.kind} out of turn")

    def _interpreter_ready(self, frame: Frame, now: float) -> None:
        self.is_ready = True
        if self._takeover.fell is not None and (died := self._takeover.ready(frame, now)):
            self._end(died)

    def take_output(self, which: int, data: bytes) -> None:
        """The interpreter wrote to stdout or stderr."""
        if not self.has_ended:
            self.output.take(which, data)

    def take_late_output(self, which: int, data: bytes) -> None:
        """A process that an earlier eval has left running wrote to stdout or stderr."""
        if not self.has_ended:
            self._session.late.take(which, data)

    def breached(self, message: str) -> None:
        """The interpreter's side of the protocol is broken: it cannot be trusted to say anything more."""
        self._end({"code": "worker_protocol_error", "message": message})

    @property
    def state_seq(self) -> int:
        """Of the last state that came from a forked child; 0: none did."""
        return self._runner.state_seq

    @property
    def shadow_seq(self) -> int | None:
        """Of the shadow that may take over if the interpreter dies now; None: none may."""
        return self._runner.shadow_seq if self._takeover.fell is None and not self.has_ended else None

    @property
    def awaits_shadow(self) -> bool:
        """Whether one may come that may take over: the last checkpoint is here, or on its way."""
        return self.shadow_seq is not None or (not self.has_ended and self._hand_over.awaits_state)

    @property
    def is_waking(self) -> bool:
        """Whether a shadow is about to be the interpreter."""
        return self._takeover.fell is not None

    def halt(self) -> None:
        """The interpreter is gone; what it had said before may follow. Nothing is begun until it is known whether its
        shadow takes over."""
        self._runner.halt()

    def fell(self, signal: int | None, status: int | None) -> None:
        """The interpreter is gone, and its shadow is about to wake: READY comes from it, or `died` follows."""
        self._takeover.fell = told_of(signal, status)

    def died(self, signal: int | None, status: int | None) -> None:
        """The interpreter is gone: killed by a signal, or exited with a status."""
        self._end(self._takeover.fell or told_of(signal, status))

    def _end(self, said: dict[str, object]) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        frame = pack_frame(Kind.DIED, (to_json(said),))
        for link in tuple(self.links.open.values()):
            self.links.send(link, frame)
        self.effects += ((KILL, None), (END, None))

    # --- what happens: time -------------------------------------------------------------------------------------

    def deadline(self, now: float) -> float | None:
        """When `tick` has something to do, as far as is known now."""
        own = self._runner.deadline()
        if len(self.links.attached) < 2:
            return own
        times = (own, self._hand_over.deadline(), self._stall_deadline(now))
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._hand_over.tick(now)
        for link in self.links.holding_up() if len(self.links.attached) > 1 else ():
            if link.stalled_since is not None and now >= link.stalled_since + LINK_STALL_S:
                self.drop(link, now)
        try:
            self._runner.tick(now)
        except Unresponsive as error:
            self._end({"code": "worker_unresponsive", "message": str(error)})

    def _stall_deadline(self, now: float) -> float | None:
        if not self.links.is_held_up:
            return None
        for link in self.links.holding_up():
            link.stalled_since = link.stalled_since or now
        since = [link.stalled_since for link in self.links.attached if link.stalled_since is not None]
        return min(since) + LINK_STALL_S if since else None

    # --- frames of links ----------------------------------------------------------------------------------------

    def _claimed(self, link: Link, frame: Frame, now: float) -> None:
        self._claim.claim(link, frame)

    def _ids(self, link: Link, frame: Frame, now: float) -> None:
        self._claim.ids(link, frame)

    def _chunk(self, link: Link, frame: Frame, now: float) -> None:
        self._claim.chunk(link, frame)

    def _attach(self, link: Link, frame: Frame, now: float) -> None:
        self._claim.attach(link, frame, self._runner.running_id)
        if link.attached:
            self._hand_over.offer_ready(now)

    def _request(self, link: Link, frame: Frame, now: float) -> None:
        if frame.parts[2] == b"is_complete":
            self._is_complete(link, frame)
        else:
            self._runner.request(link, frame, now)

    def _is_complete(self, link: Link, frame: Frame) -> None:
        try:
            answer = is_complete(frame.parts[6])
        except (ValueError, AttributeError, RecursionError) as error:
            self.links.refuse(link, frame.ref, "bad_message", str(error))
        else:
            self.links.reply(link, frame.ref, answer)

    def _confirm(self, link: Link, frame: Frame, now: float) -> None:
        packed, _id, receipt = frame.parts
        (seq,) = SEQ.unpack(packed)
        self._hand_over.confirm(link, seq)
        if seq >= self._session.committed:  # another front door's word of an earlier one may come later
            self._session.receipt = receipt

    def _credit(self, link: Link, frame: Frame, now: float) -> None:
        (count,) = frame.parts
        self.links.grant(link, COUNT.unpack(count)[0])

    def _interrupt(self, link: Link, frame: Frame, now: float) -> None:
        target, _reason = frame.parts
        self._runner.interrupt(link, frame.ref, target)

    def _cancel(self, link: Link, frame: Frame, now: float) -> None:
        (target,) = frame.parts
        self._runner.cancel(link, frame.ref, target)

    def _input(self, link: Link, frame: Frame, now: float) -> None:
        target, text = frame.parts
        self._runner.input(link, frame.ref, target, text)

    def _replay(self, link: Link, frame: Frame, now: float) -> None:
        (number,) = frame.parts
        self._session.events.replay(link, frame.ref, COUNT.unpack(number)[0])

    def _ping(self, link: Link, frame: Frame, now: float) -> None:
        self.links.reply(link, frame.ref, {"running": self._runner.running_id, "receipt": self._session.receipt.hex()})

    def _end_now(self, link: Link, frame: Frame, now: float) -> None:
        self._end({"code": "worker_died", "message": "a front door ended the worker"})

    def _park(self, link: Link, frame: Frame, now: float) -> None:
        idle_ms, park_ms = (COUNT.unpack(part)[0] for part in frame.parts)
        self._runner.park(link, frame.ref, idle_ms / 1000, park_ms / 1000, now)
