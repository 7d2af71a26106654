"""Frames over a socket that several processes write to one after the other, and any of them may be killed.

The socket keeps packets whole (SOCK_SEQPACKET), and each says whether a frame begins in it: what a dead writer began is
dropped when the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from replwire.frames import Frame, FrameReader
from replwire.hints import Final
from replworker.sockets import SOCK_SEQPACKET, Socket, unix_pair

PACKET_BYTES_MAX: Final = 64 * 1024
"""Of one packet, mark included; what a socket's buffer holds in any case."""

_BEGINS: Final = b"\1"
_GOES_ON: Final = b"\0"


def packet_pair() -> tuple[Socket, Socket]:
    """Both ends."""
    return unix_pair(SOCK_SEQPACKET)


def send_frame(sock: Socket, frame: bytes) -> None:
    """All of it, in as many packets as it takes; blocks while the reader is slow."""
    step = PACKET_BYTES_MAX - 1
    for start in range(0, len(frame), step):
        mark = _GOES_ON if start else _BEGINS
        sock.send(mark + frame[start : start + step])


class PacketReader:
    """Turns packets into frames."""

    def __init__(self) -> None:
        self._reader = FrameReader()

    def feed(self, packet: bytes) -> None:
        """One packet, as it was received."""
        if packet[:1] == _BEGINS:
            self._reader = FrameReader()
        self._reader.feed(memoryview(packet)[1:])

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._reader)
