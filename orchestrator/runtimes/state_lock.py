"""One server for one state folder, as long as the server lives; and whether a folder has one.

The lock is the kernel's, so that nothing has to be cleaned up after a server that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK: Final = "server.lock"

NAME_BYTES: Final = 8
"""Of randomness in a folder's name."""


class StateError(Exception):
    """This server can't have the state folder; the message says why and what helps."""


@contextlib.contextmanager
def only_server(state: Path) -> Iterator[str]:
    """Have the folder for as long as this lasts: two servers would end each other's workers. Raises `StateError`.

    Gives the folder's name. Whoever has the folder and finds that name on something unfinished knows that its owner is
    dead: it had the lock.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o755)
        handle = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{state} can't be used: {error.strerror}; choose another with --state-dir") from None
    try:
        if not _locked(handle, fcntl.LOCK_EX):
            raise StateError(f"another server uses {state}: end it, or choose another folder with --state-dir")
        yield _name_in(handle)
    finally:
        os.close(handle)


def _name_in(handle: int) -> str:
    """What the lock's file holds; written when it is new, or when a crash left it half written."""
    held = os.pread(handle, 2 * NAME_BYTES + 1, 0)
    if len(held) == 2 * NAME_BYTES and held.isalnum():
        return held.decode("ascii", "replace")
    name = secrets.token_hex(NAME_BYTES)
    os.ftruncate(handle, 0)
    os.pwrite(handle, name.encode("ascii"), 0)
    return name


def is_served(state: Path) -> bool:
    """Whether a server has the folder now. One that we may not look into is somebody's."""
    try:
        handle = os.open(state / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    try:
        return not _locked(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _locked(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
