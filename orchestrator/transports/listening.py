"""The sockets a server listens on. `localhost` is both loopback addresses, on one port."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final

BACKLOG: Final = 1024
TRIES: Final = 8
"""For a free port that is free on both loopback addresses."""


class ListenError(Exception):
    """Nobody can listen there; the message says why and what to do."""


def forget_the_vanished(sockets: list[socket.socket], after_s: float) -> None:
    """A connection whose peer has not acknowledged for so long what it was sent is closed (RFC 5482), where the system
    can do that. A client of server-sent events says nothing, so nothing else tells that it is no more."""
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        for listener in sockets:
            listener.setsockopt(socket.IPPROTO_TCP, option, round(after_s * 1000))


def listen(host: str, port: int) -> list[socket.socket]:
    """Bound and listening sockets, at least one; port 0 takes a free one. Raises `ListenError`."""
    if host != "localhost":
        return [_bind(*_resolve(host, port))]
    for _ in range(TRIES if port == 0 else 1):
        with contextlib.ExitStack() as opened:
            first = opened.enter_context(_bind(socket.AF_INET, ("127.0.0.1", port)))
            sockets = [first, *_also_ipv6(first.getsockname()[1], opened, must=port != 0)]
            if len(sockets) == 2 or not _has_ipv6_loopback():
                opened.pop_all()
                return sockets
    raise ListenError("no port is free on both 127.0.0.1 and ::1")


def _also_ipv6(port: int, opened: contextlib.ExitStack, *, must: bool) -> list[socket.socket]:
    if not _has_ipv6_loopback():
        return []
    try:
        return [opened.enter_context(_bind(socket.AF_INET6, ("::1", port)))]
    except ListenError:
        if must:
            raise
        return []


def _has_ipv6_loopback() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
    except socket.gaierror as error:
        raise ListenError(f"{host!r} is no address to listen on: {error.strerror}") from None
    return family, (str(address[0]), port)


def _bind(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(_words(error, *address)) from None
    return listener


def _words(error: OSError, host: str, port: int) -> str:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use by another program: end it, or choose another port with --port"
    if error.errno == errno.EACCES:
        return f"{place} may not be listened on by this user: choose a port above 1023 with --port"
    return f"cannot listen on {place}: {error.strerror}"
