"""The agent's core on a stage: front doors and an interpreter that only exist as frames, and a clock that is set."""

from __future__ import annotations

import json
from typing import Any

from replwire.envelopes import canonical
from replwire.frames import COUNT, NONE, SEQ, Flag, Frame, FrameReader, Kind
from replwire.limits import default_limits
from replworker.agent.core import Agent
from replworker.agent.links import END, INTERPRETER, INTERRUPT, KILL
from support.worker_client import Outcome, body_hash, event_of


def frames_of(data: bytes) -> list[Frame]:
    """The frames in these bytes."""
    reader = FrameReader()
    reader.feed(data)
    return list(reader)


class Front:
    """One front door's link."""

    def __init__(self, stage: Stage, key: int) -> None:
        self._stage = stage
        self.frames: list[Frame] = []
        self.is_hung_up = False
        self._ref = 0
        self.link = stage.agent.link_opened(key)

    def send(self, kind: int, *parts: bytes, flags: int = 0, ref: int | None = None) -> int:
        """A frame to the agent; its ref."""
        self._ref += 1
        ref = self._ref if ref is None else ref
        self._stage.agent.link_frame(self.link, Frame(kind, flags, ref, parts), self._stage.now)
        self._stage.settle()
        return ref

    def say(self, kind: int, body: dict[str, Any], *more: bytes) -> int:
        """A frame whose first part is JSON."""
        return self.send(kind, json.dumps(body).encode(), *more)

    def request(
        self, id_: str, type_: str = "eval", *, code: str = "", if_seq: int = NONE, flags: int | None = None
    ) -> int:
        """A REQUEST, numbered if it is an eval; its ref."""
        payload = {"code": code}
        if flags is None:
            flags = Flag.NUMBERED if type_ == "eval" else 0
        parts = (SEQ.pack(if_seq), id_.encode(), type_.encode(), body_hash(type_, payload), b"stamp", b"ann")
        return self.send(Kind.REQUEST, *parts, canonical(payload).encode(), flags=flags)

    def confirm(self, seq: int, id_: str) -> None:
        """It is committed."""
        self.send(Kind.CONFIRM, SEQ.pack(seq), id_.encode(), b"receipt")

    def credit(self, count_bytes: int) -> None:
        """So much has been passed on."""
        self.send(Kind.CREDIT, COUNT.pack(count_bytes))

    def hang_up(self) -> None:
        """The front door goes."""
        self._stage.agent.link_closed(self.link, self._stage.now)
        self._stage.settle()

    def take(self, *kinds: int) -> list[Frame]:
        """The frames of these kinds that have come; they are taken."""
        taken = [frame for frame in self.frames if frame.kind in kinds]
        self.frames = [frame for frame in self.frames if frame.kind not in kinds]
        return taken

    def said(self, *kinds: int) -> list[tuple[int, dict[str, Any]]]:
        """Ref and JSON of the frames of these kinds."""
        return [(frame.ref, json.loads(frame.parts[0])) for frame in self.take(*kinds)]

    def outcomes(self) -> list[Outcome]:
        """The outcomes that have come."""
        return [Outcome(frame) for frame in self.take(Kind.OUTCOME)]

    def events(self) -> list[tuple[int, int, int, bytes, bytes]]:
        """Number, seq, kind, request id and body of the events that have come."""
        return [event_of(frame) for frame in self.take(Kind.EVENT)]


class Stage:
    """One agent and all that it talks to."""

    def __init__(self) -> None:
        self.agent = Agent("3.11.0")
        self.now = 100.0
        self.fronts: dict[int, Front] = {}
        self.to_interpreter: list[Frame] = []
        self._interpreter = FrameReader()
        self.commands: list[int] = []

    def settle(self) -> None:
        """Carry out the effects."""
        effects, self.agent.effects[:] = list(self.agent.effects), []
        for destination, data in effects:
            if destination == INTERPRETER:
                self._interpreter.feed(data or b"")
                self.to_interpreter += self._interpreter
            elif destination in (INTERRUPT, KILL, END):
                self.commands.append(destination)
            elif data is None:
                self.fronts[destination].is_hung_up = True
            else:
                self.fronts[destination].frames += frames_of(data)

    def front(self) -> Front:
        """A front door dials."""
        key = len(self.fronts) + 10
        front = self.fronts[key] = Front(self, key)
        self.settle()
        return front

    def interpreter(self, kind: int, *parts: bytes, flags: int = 0) -> None:
        """A frame on the control socket."""
        self.agent.interpreter_frame(Frame(kind, flags, 0, parts), self.now)
        self.settle()

    def snapshot_child(self, kind: int, *parts: bytes) -> None:
        """A frame on the state channel."""
        self.agent.state_frame(Frame(kind, 0, 0, parts), self.now)
        self.settle()

    def write(self, which: int, data: bytes) -> None:
        """The interpreter writes to stdout (0) or stderr (1)."""
        self.agent.take_output(which, data)
        self.settle()

    def done(self, told: dict[str, Any] | None = None, manifest: bytes = b"m", references: bytes = b"") -> None:
        """The running request ends."""
        self.interpreter(Kind.DONE, json.dumps(told or {"output": None}).encode(), manifest, references)

    def die(self, signal: int | None = None, status: int | None = None) -> None:
        """The interpreter's process ends."""
        self.agent.died(signal, status)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Set the clock forward and let the agent do what is due."""
        self.agent.deadline(self.now)
        self.now += seconds
        self.agent.tick(self.now)
        self.settle()

    def runs(self) -> list[tuple[int, bytes]]:
        """Seq and id of each RUN that was sent since the last question."""
        found = [(SEQ.unpack(frame.parts[0])[0], frame.parts[2]) for frame in self._taken(Kind.RUN)]
        return found

    def _taken(self, kind: int) -> list[Frame]:
        taken = [frame for frame in self.to_interpreter if frame.kind == kind]
        self.to_interpreter = [frame for frame in self.to_interpreter if frame.kind != kind]
        return taken


CLAIM: dict[str, Any] = {
    "session": "ses_a", "generation": 3, "link_key": "key", "seq": 0, "durability": "commit", "ids": [], "chunks": 0,
}  # fmt: skip


def claim_of(limits: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """The JSON of a CLAIM."""
    return {**CLAIM, "limits": {**default_limits(), **(limits or {})}, **more}


def claimed(limits: dict[str, int] | None = None, **more: Any) -> tuple[Stage, Front]:
    """A stage whose worker is claimed and restored, and the link that did it."""
    stage = Stage()
    stage.interpreter(Kind.READY, b"{}")
    front = stage.front()
    front.say(Kind.CLAIM, claim_of(limits, **more), b"")
    stage.interpreter(Kind.RESTORED, b'{"unsaved": {}}')
    front.frames.clear()
    stage.to_interpreter.clear()
    return stage, front


def attached(stage: Stage) -> Front:
    """A further link of the session."""
    front = stage.front()
    front.say(Kind.ATTACH, {"session": "ses_a", "generation": 3, "link_key": "key"})
    assert front.take(Kind.WELCOME)
    front.frames = [frame for frame in front.frames if frame.kind != Kind.HELLO]
    return front
