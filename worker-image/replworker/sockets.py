"""Sockets as the worker uses them, without the module `socket`: its enumerations cost each session 0.3 MB."""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, socket
from _socket import socketpair as _socketpair

__all__ = ["SOCK_SEQPACKET", "Socket", "accept", "unix_pair", "unix_socket"]

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
