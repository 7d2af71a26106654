"""A few steps of a session's life, taken when a worker has nothing to do yet.

The first claim and the first eval touch memory that no step before them touched, and run code that Python has not
specialised yet: half a millisecond each, which a worker from the pool should have behind it. One that is claimed as
soon as it is there would only lose time.
"""

from __future__ import annotations

from replwire.frames import NONE, SEQ, Flag, FrameReader, Kind, pack_frame
from replwire.hints import Final
from replwire.limits import default_limits
from replworker.agent.core import Agent
from replworker.agent.links import Link
from replworker.plain_json import to_json
from replworker.rehearsals import ROUNDS

_CLAIM: Final = {
    "session": "",
    "generation": 0,
    "link_key": "",
    "seq": 0,
    "durability": "commit",
    "ids": [],
    "chunks": 0,
}
_DONE: Final = b'{"output":"2","error":null,"data":{},"unsaved":{},"receipt":{}}'


class _Stage:
    """An agent of its own, and the frames of a front door and an interpreter that do not exist."""

    def __init__(self) -> None:
        self._agent = Agent("")
        self._link: Link = self._agent.link_opened(0)
        self._reader = FrameReader()

    def from_link(self, kind: int, parts: tuple[bytes, ...], *, flags: int = 0) -> None:
        """As it comes from a front door."""
        self._reader.feed(pack_frame(kind, parts, flags=flags, ref=1))
        for frame in self._reader:
            self._agent.link_frame(self._link, frame, 0.0)
        self._agent.effects.clear()

    def from_interpreter(self, kind: int, parts: tuple[bytes, ...]) -> None:
        """As it comes from the interpreter."""
        self._reader.feed(pack_frame(kind, parts))
        for frame in self._reader:
            self._agent.interpreter_frame(frame, 0.0)
        self._agent.deadline(0.0)
        self._agent.effects.clear()


def rehearse() -> None:
    """A claim and some evals, each committed, of a session that nobody has."""
    stage = _Stage()
    stage.from_link(Kind.CLAIM, (to_json(_CLAIM | {"limits": default_limits()}), b""))
    stage.from_interpreter(Kind.RESTORED, (b'{"unsaved":{}}',))
    for number in range(1, ROUNDS + 1):
        id_ = b"rehearsal-%d" % number
        request = (SEQ.pack(NONE), id_, b"eval", b"h" * 32, b"s" * 32, b"nobody", b'{"code":"1 + 1"}')
        stage.from_link(Kind.REQUEST, request, flags=Flag.NUMBERED)
        stage.from_interpreter(Kind.DONE, (_DONE, b"", b""))
        stage.from_link(Kind.CONFIRM, (SEQ.pack(number), id_, b""))
