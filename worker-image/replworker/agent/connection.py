"""A non-blocking stream socket with what waits to be sent on it. Used for links and for the interpreter alike."""

from __future__ import annotations

from collections import deque

from replwire.frames import FrameReader
from replwire.hints import Final
from replworker.sockets import Socket

RECEIVE_BYTES: Final = 64 * 1024


class PartialReader(FrameReader):
    """A reader that knows whether it holds the beginning of a frame."""

    __slots__ = ()

    @property
    def is_partial(self) -> bool:
        """Whether bytes are left over that make no whole frame."""
        return len(self._buffer) > self._start


class Connection:
    """Sends at once what the socket takes; keeps the rest."""

    __slots__ = ("_waiting", "backlog_bytes", "fd", "reader", "sock")

    def __init__(self, sock: Socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.reader = PartialReader()
        self._waiting: deque[memoryview] = deque()
        self.backlog_bytes = 0

    def send(self, data: bytes) -> None:
        """Raises `OSError` when the other side has gone."""
        if self._waiting:
            sent = 0
        else:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
        if sent < len(data):
            self._waiting.append(memoryview(data)[sent:])
            self.backlog_bytes += len(data) - sent

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it. Raises `OSError` when the other side has gone."""
        waiting = self._waiting
        try:
            while waiting:
                sent = self.sock.send(waiting[0])
                self.backlog_bytes -= sent
                if sent < len(waiting[0]):
                    waiting[0] = waiting[0][sent:]
                else:
                    waiting.popleft()
        except BlockingIOError:
            return

    def send_rest(self, timeout_s: float) -> None:
        """Send what waits, and wait so long for it. Raises `OSError` (a time-out is one)."""
        self.sock.settimeout(timeout_s)
        while self._waiting:
            self.sock.sendall(self._waiting.popleft())

    def receive(self) -> bytes | None:
        """What came; None when nothing did, `b""` at the end. Never raises: a reset is an end too."""
        try:
            return self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def close(self) -> None:
        """Hang up; what waits is lost."""
        self._waiting.clear()
        self.backlog_bytes = 0
        self.sock.close()
