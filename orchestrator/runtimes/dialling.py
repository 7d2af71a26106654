"""Dialling a socket in a folder that a tenant can write to, without following anything that the tenant planted.

The name is opened as it is (`O_PATH | O_NOFOLLOW`), checked to be a socket of the expected owner, and connected through
the descriptor, so that nothing can be exchanged between the check and the use.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from orchestrator.core.session import WorkerAddress

_CREDENTIALS: Final = struct.Struct("3i")


def dial_unix(path: Path, uid: int) -> socket.socket:
    """A connected, non-blocking socket; `OSError` when there is none, `PermissionError` when it is not that uid's."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            raise PermissionError(f"{path.name} is not the worker's socket")
        return _connected(f"/proc/self/fd/{handle}", uid)
    finally:
        os.close(handle)


def is_listening(address: WorkerAddress) -> bool:
    """Whether somebody takes connections there: a worker whose socket nobody listens on any more has ended."""
    try:
        dial_unix(Path(address.address), address.uid).close()
    except BlockingIOError:
        return True  # its queue is full
    except OSError:
        return False
    return True


def _connected(path: str, uid: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(path)
        peer = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if peer[1] != uid:
            raise PermissionError("another user listens on the worker's socket")
    except BaseException:
        sock.close()
        raise
    return sock
