"""The agent's view of its links: who is attached, how much more output each may get, and what is sent to them.

Effects are how the agent's decisions leave it: `(destination, frame)`, carried out in order by the loop. A
destination is the key of a link (then the bytes of a frame, or None: hang up) or one of the constants below.
"""

from __future__ import annotations

from replwire.frames import Kind, pack_frame
from replwire.hints import Any, Final
from replworker.agent.limits import LINK_BACKLOG_BYTES_MAX
from replworker.plain_json import to_json

INTERPRETER: Final = -1
"""Send the frame to the interpreter."""
INTERRUPT: Final = -2
"""SIGINT to the interpreter."""
KILL: Final = -3
"""SIGKILL to the interpreter and what it started."""
END: Final = -4
"""Flush what waits for links, then end the worker."""

Effect = tuple[int, bytes | None]


class Link:
    """One front door's connection. `key` is given by whoever opened it."""

    __slots__ = ("attached", "blocked", "credit", "key", "offered_seq", "open", "stalled_since")

    def __init__(self, key: int) -> None:
        self.key = key
        self.open = True
        self.attached = False
        self.blocked = False
        """Whether its socket takes nothing more for now; set by the loop."""
        self.credit = 0
        """Bytes of events that it may still get."""
        self.offered_seq = 0
        """Outcomes up to this one have been sent on it."""
        self.stalled_since: float | None = None


class Links:
    """Every open link of the worker; sends by adding to `effects`."""

    def __init__(self, effects: list[Effect]) -> None:
        self.effects = effects
        self.open: dict[int, Link] = {}
        self.attached: list[Link] = []
        self.window_bytes = 0
        """`link_window_bytes`: credit of a link that has just been attached."""
        self.backlog_bytes_max = LINK_BACKLOG_BYTES_MAX
        """Of one link: see `limits.LINK_BACKLOG_BYTES_MAX`."""
        self.is_lenient = False
        """While an interrupted request comes to its end: output may overdraw the credit by one window."""

    def attach(self, link: Link) -> None:
        """From now on it gets events."""
        link.attached = True
        link.credit = self.window_bytes
        self.attached.append(link)

    def forget(self, link: Link) -> None:
        """It has gone."""
        link.open = link.attached = False
        self.open.pop(link.key, None)
        if link in self.attached:
            self.attached.remove(link)

    def send(self, link: Link, frame: bytes) -> None:
        """One frame to one link; nothing to one that has gone."""
        if link.open:
            self.effects.append((link.key, frame))

    def say(self, link: Link, kind: int, ref: int, body: dict[str, Any]) -> None:
        """A frame whose one part is JSON."""
        self.send(link, pack_frame(kind, (to_json(body),), ref=ref))

    def refuse(self, link: Link, ref: int, code: str, message: str, **details: int) -> None:
        """REFUSED, with an error code of `replwire.errors`."""
        self.say(link, Kind.REFUSED, ref, {"code": code, "message": message, **details})

    def reply(self, link: Link, ref: int, body: dict[str, Any]) -> None:
        """REPLY."""
        self.say(link, Kind.REPLY, ref, body)

    def grant(self, link: Link, count_bytes: int) -> None:
        """It has passed on so many bytes of events; never beyond a window, whatever it says."""
        link.credit = min(self.window_bytes, link.credit + count_bytes)
        link.stalled_since = None

    @property
    def is_held_up(self) -> bool:
        """Whether output has to wait for a link."""
        if self.is_lenient:
            return any(link.credit <= -self.window_bytes for link in self.attached)
        for link in self.attached:  # noqa: SIM110 - asked after every event, and a generator costs twice as much
            if link.credit <= 0 or link.blocked:
                return True
        return False

    def holding_up(self) -> list[Link]:
        """The links that output waits for."""
        return [link for link in self.attached if link.credit <= 0 or link.blocked]
