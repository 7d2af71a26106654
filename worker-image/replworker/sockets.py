"""Sockets as the worker uses them, without the module `socket`: its enumerations cost each session 0.3 MB."""

from __future__ import annotations

import os
import struct
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from _socket import socketpair as _socketpair

__all__ = [
    "SOCK_SEQPACKET", "Socket", "accept", "close_fds", "put_in_place", "receive_fds", "receive_fds_late", "send_fds",
    "unix_pair", "unix_socket",
]  # fmt: skip

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
    """The next packet of at most `most` bytes, if there is one, and at most so many descriptors; the kernel closes any
    further ones. Raises `OSError`."""
    return _received(sock, most, MSG_DONTWAIT)


def receive_fds_late(sock: Socket, most: int) -> tuple[bytes, list[int]]:
    """As `receive_fds`, but it waits for the packet; no bytes when there is nobody any more who could send one."""
    return _received(sock, most, 0)


def _received(sock: Socket, most: int, flags: int) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = sock.recvmsg(most, CMSG_SPACE(4 * most), flags | MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, packed in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            fds += struct.unpack(f"{len(packed) // 4}i", packed[: len(packed) // 4 * 4])
    return data, fds


def put_in_place(fd: int, place: int, *, inheritable: bool = False) -> None:
    """The open file of `fd` gets the number `place`, and has no other any more."""
    os.dup2(fd, place, inheritable=inheritable)
    os.close(fd)


def close_fds(fds: list[int]) -> None:
    """All of them."""
    for fd in fds:
        os.close(fd)
