"""Events: numbered, sent to every attached link, and the recent ones kept for late-comers."""

from __future__ import annotations

from collections import deque

from replwire.frames import EVENT_HEAD, EVENT_OVERHEAD_BYTES, NONE, EventKind, FrameError, Kind, pack_frame
from replwire.hints import Final
from replworker.agent.breach import InterpreterBreach
from replworker.agent.links import Link, Links

ROLL_BACKS_KEPT_MAX: Final = 64
"""Of one worker. Who saw what did not happen is told so, also when the events around it have fallen out."""


class EventRing:
    """The last events, bounded by count and by bytes of their frames; the oldest fall out."""

    __slots__ = ("_bytes", "_bytes_max", "_count_max", "_kept")

    def __init__(self) -> None:
        self._kept: deque[tuple[int, bytes, int]] = deque()
        self._bytes = 0
        self._count_max = self._bytes_max = 0

    def limit(self, count_max: int, bytes_max: int) -> None:
        """`events_kept_max`, `event_bytes_kept_max`."""
        self._count_max, self._bytes_max = count_max, bytes_max

    def add(self, number: int, frame: bytes, cost_bytes: int) -> None:
        """Keep the newest event."""
        kept = self._kept
        kept.append((number, frame, cost_bytes))
        self._bytes += len(frame)
        while kept and (len(kept) > self._count_max or self._bytes > self._bytes_max):
            self._bytes -= len(kept.popleft()[1])

    def after(self, number: int) -> list[tuple[int, bytes, int]]:
        """`(number, frame, bytes of credit)` of each kept event after that one, oldest first."""
        return [item for item in self._kept if item[0] > number]

    @property
    def first(self) -> int | None:
        """The oldest number that is kept."""
        return self._kept[0][0] if self._kept else None


class EventLog:
    """Numbers events from 1 and publishes them, under the request that runs."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self.ring = EventRing()
        self._roll_backs: deque[tuple[int, bytes, int]] = deque(maxlen=ROLL_BACKS_KEPT_MAX)
        self.last_number = 0
        self.seq = NONE
        self.request_id = b""

    def belongs_to(self, seq: int, request_id: bytes) -> None:
        """What is published from now on comes from this request."""
        self.seq, self.request_id = seq, request_id

    def publish(self, kind: int, body: bytes) -> None:
        """Send an event to every attached link, and keep it. Raises `InterpreterBreach` if it fits into no frame."""
        number = self.last_number + 1
        try:
            frame = pack_frame(Kind.EVENT, (EVENT_HEAD.pack(number, self.seq, kind), self.request_id, body))
        except FrameError as error:
            raise InterpreterBreach(f"an event is too large: {error}") from None
        self.last_number = number
        cost_bytes = len(body) + EVENT_OVERHEAD_BYTES
        self.ring.add(number, frame, cost_bytes)
        if kind == EventKind.ROLLED_BACK:
            self._roll_backs.append((number, frame, cost_bytes))
        for link in self._links.attached:
            link.credit -= cost_bytes
            self._links.send(link, frame)

    def publish_apart(self, kind: int, body: bytes) -> None:
        """An event that no request made."""
        of_running = self.seq, self.request_id
        self.belongs_to(NONE, b"")
        try:
            self.publish(kind, body)
        finally:
            self.belongs_to(*of_running)

    def replay(self, link: Link, ref: int, number: int) -> None:
        """The kept events after that number again, on this link, then REPLY: the oldest kept and the newest number."""
        kept = self.ring.after(number)
        oldest = kept[0][0] if kept else self.last_number + 1
        fallen_out = [item for item in self._roll_backs if number < item[0] < oldest]
        for _, frame, cost_bytes in (*fallen_out, *kept):
            link.credit -= cost_bytes
            self._links.send(link, frame)
        self._links.reply(link, ref, {"first": self.ring.first, "last": self.last_number})
