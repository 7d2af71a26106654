"""Sockets as the worker uses them, without the module `socket`: its enumerations cost each session 0.3 MB."""

from __future__ import annotations

import os
import struct
from _socket import AF_UNIX, CMSG_SPACE, MSG_DONTWAIT, SCM_RIGHTS, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, socket
from _socket import socketpair as _socketpair

__all__ = ["SOCK_SEQPACKET", "Socket", "accept", "close_fds", "receive_fds", "send_fds", "unix_pair", "unix_socket"]

Socket = socket


def unix_socket() -> Socket:
    """A stream socket that is neither bound nor connected."""
    return Socket(AF_UNIX, SOCK_STREAM)


def unix_pair(kind: int = SOCK_STREAM) -> tuple[Socket, Socket]:
    """Two that are connected with each other; child processes that run another program do not get them."""
    return _socketpair(AF_UNIX, kind, 0)


def accept(listener: Socket) -> Socket:
    """The next connection. Raises `OSError`."""
    fd, _ = listener._accept()  # type: ignore[attr-defined]
    return Socket(fileno=fd)


def send_fds(sock: Socket, data: bytes, fds: list[int]) -> None:
    """One packet with descriptors."""
    sock.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])


def receive_fds(sock: Socket, most: int) -> tuple[bytes, list[int]]:
    """The next packet, if there is one, and at most so many descriptors; the kernel closes any further ones. Raises
    `OSError`."""
    data, ancillary, _, _ = sock.recvmsg(most, CMSG_SPACE(4 * most), MSG_DONTWAIT)
    fds: list[int] = []
    for level, kind, packed in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            fds += struct.unpack(f"{len(packed) // 4}i", packed[: len(packed) // 4 * 4])
    return data, fds


def close_fds(fds: list[int]) -> None:
    """All of them."""
    for fd in fds:
        os.close(fd)
