"""The interpreter's end of the control socket: frames in, frames out."""

from __future__ import annotations

import fcntl
import os
import select
from _thread import RLock
from collections import deque
from collections.abc import Sequence
from time import sleep

from replwire.frames import Frame, FrameReader, Kind, pack_frame
from replwire.hints import Final
from replworker.interpreter import copies
from replworker.interpreter.gate import Gate
from replworker.sockets import Socket, put_in_place

RECEIVE_BYTES: Final = 64 * 1024
"""Less than what `malloc` takes from the system, and gives back, at each call."""

PAUSE_S: Final = 0.00002
PAUSE_MAX_S: Final = 0.001

_SIOCOUTQ: Final = 0x5411
"""Bytes of a socket that the other side has not read (unix(7))."""


class Channel:
    """Blocking. The end of the socket is the end of the process: nobody is left to work for."""

    def __init__(self, sock: Socket, gate: Gate) -> None:
        self._receive = sock.recv
        self._send_all = sock.sendall
        self._gate = gate
        self._lock = RLock()
        self._late: deque[bytes] = deque()
        self._is_busy = False
        self._reader = FrameReader()
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        self.fd = sock.fileno()

    def take_over(self, fd: int) -> None:
        """In a fork: this socket stands in the place of ours from now on."""
        put_in_place(fd, self.fd)
        self._lock = RLock()
        self._late.clear()
        self._is_busy = False
        self._reader = FrameReader()

    def has_news(self, *, within_s: float) -> bool:
        """Whether something comes in that time."""
        return bool(self._poll.poll(int(within_s * 1000)))

    def next_frame(self) -> Frame:
        """Wait for one. In an open gate only the wait is interrupted, never the taking."""
        gate = self._gate
        while (frame := self._taken() if gate.is_open else next(self._reader, None)) is None:
            if gate.is_open:
                self._poll.poll()
            gate.defers = True
            try:
                data = self._receive(RECEIVE_BYTES)
                if not data:
                    os._exit(0)
                self._reader.feed(data)
            finally:
                gate.resume()
        return frame

    def _taken(self) -> Frame | None:
        self._gate.defers = True
        try:
            return next(self._reader, None)
        finally:
            self._gate.resume()

    def send(self, kind: int, parts: tuple[bytes, ...], *, flags: int = 0) -> None:
        """One frame, whole or not at all. Raises `FrameError` when it would be too large, `RuntimeError` in a copy."""
        if copies.is_copy():
            raise RuntimeError(copies.NOT_HERE)
        self._send(pack_frame(kind, parts, flags=flags))

    def send_chunks(self, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """CHUNK frames."""
        for chunk in chunks:
            self._send(pack_frame(Kind.CHUNK, chunk))

    def wait_until_read(self) -> None:
        """Until the agent has taken everything that was sent."""
        pause_s = PAUSE_S
        while fcntl.ioctl(self.fd, _SIOCOUTQ, b"\0\0\0\0") != b"\0\0\0\0":
            sleep(pause_s)
            pause_s = min(PAUSE_MAX_S, pause_s * 2)

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._late.append(data)
            if self._is_busy:
                # A signal handler or a finalizer, in the middle of a frame of the same thread.
                return
            try:
                self._is_busy = True
                while self._late:
                    self._send_frame(self._late.popleft())
            finally:
                self._is_busy = False

    def _send_frame(self, data: bytes) -> None:
        gate = self._gate
        if not gate.is_main:
            self._send_all(data)
            return
        gate.defers = True
        try:
            self._send_all(data)
        finally:
            gate.resume()
