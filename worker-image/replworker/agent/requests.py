"""Requests that have not been executed: the one that runs and those that wait, in one order over all links."""

from __future__ import annotations

from collections import deque

from replwire.frames import SEQ, Flag, Frame
from replwire.hints import Final
from replworker.agent.breach import LinkBreach
from replworker.agent.limits import ID_BYTES_MAX
from replworker.agent.links import Link

TYPES: Final = frozenset((b"eval", b"complete", b"inspect", b"variables", b"files"))
"""What the interpreter serves."""

AUXILIARY: Final = frozenset((b"complete", b"inspect", b"variables"))
"""These have `auxiliary_timeout_ms` of their own."""


class Request:
    """One REQUEST frame, and who waits for its answer."""

    __slots__ = (
        "body", "deadline", "first_event", "flags", "had_to_wait", "hash", "id", "if_seq", "is_numbered", "principal",
        "seq", "stamp", "timed_out", "type", "waiters",
    )  # fmt: skip

    def __init__(self, link: Link, frame: Frame) -> None:
        if_seq, self.id, self.type, self.hash, self.stamp, self.principal, self.body = frame.parts
        (self.if_seq,) = SEQ.unpack(if_seq)
        if not 0 < len(self.id) <= ID_BYTES_MAX:
            raise LinkBreach("a request needs an id")
        self.flags = frame.flags
        self.is_numbered = bool(frame.flags & Flag.NUMBERED)
        self.waiters = [(link, frame.ref)]
        self.had_to_wait = False
        self.deadline: float | None = None
        self.timed_out = False
        self.seq = 0
        self.first_event = 0


class Waiting:
    """The queue, and every request that is in it or runs, by id."""

    def __init__(self) -> None:
        self._queue: deque[Request] = deque()
        self._live: dict[bytes, Request] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def get(self, id_: bytes) -> Request | None:
        """A request that waits or runs."""
        return self._live.get(id_)

    def add(self, request: Request, *, waits: bool) -> None:
        """A new one, at the end of the queue unless it runs at once."""
        self._live[request.id] = request
        if waits:
            request.had_to_wait = True
            self._queue.append(request)

    def next(self) -> Request | None:
        """The one that has waited longest leaves the queue."""
        return self._queue.popleft() if self._queue else None

    def forget(self, request: Request) -> None:
        """It was executed or refused."""
        self._live.pop(request.id, None)

    def cancel(self, id_: bytes) -> Request | None:
        """Take a request out of the queue; None when none of that id waits there."""
        request = self._live.get(id_)
        if request is None or request not in self._queue:
            return None
        self._queue.remove(request)
        self.forget(request)
        return request

    def link_gone(self, link: Link) -> None:
        """Nobody there waits any more. Numbered requests go on; what only that link wanted to know is dropped."""
        for request in tuple(self._live.values()):
            request.waiters = [waiter for waiter in request.waiters if waiter[0] is not link]
            if not request.waiters and not request.is_numbered:
                self.cancel(request.id)
