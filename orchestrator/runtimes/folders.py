"""The folders of workers on this host: each is mounted into one sandbox, belongs to one uid, and holds one socket.

A folder is known by its worker's id; its owner is how a later server learns which uids are in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "worker.sock"

FIRST_UID: Final = 200_000
"""Below it are the machine's own accounts and the ranges that are usually delegated to them."""

UIDS: Final = 1_000_000_000
"""So many uids a worker's is drawn from; one that is in use here is drawn again."""

_POLL_S: Final = 0.002


class FolderError(Exception):
    """A worker's folder can't be made; the message says why and what helps."""


class Folders:
    """All of one installation, below `root`. Blocking calls, all short."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the root, so that sessions' uids can go through it and read nothing. Raises `FolderError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711)
        except OSError as error:
            raise FolderError(f"{self.root}: {error.strerror}; choose another folder with --state-dir") from None

    def make(self, worker: str, *, any_user: bool = False) -> tuple[Path, int]:
        """A new folder and the uid of the worker that will use it; raises `FolderError`.

        It is the worker's own under root, and wherever the runtime can run a worker as `any_user`; else it is ours.
        """
        folder = self.root / worker
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _not_made(error) from None
        try:
            return folder, self._give_away(folder, any_user=any_user)
        except OSError as error:
            self.remove(worker)
            raise _not_made(error) from None

    def _give_away(self, folder: Path, *, any_user: bool) -> int:
        if os.geteuid() == 0:
            uid = self._free_uid()
            os.chown(folder, uid, uid)
            return uid
        if not any_user:
            return os.geteuid()
        # Only root can give a folder to another user. The worker's id, which nobody can list or guess, protects it.
        folder.chmod(0o777)
        return self._free_uid()

    def lock(self, worker: str) -> None:
        """The worker has made its socket: from now on it can reach the folder and write nothing into it.

        The folder lies on the host's disk, which no limit of the sandbox covers. Where worker and server are one user,
        a tenant could undo this.
        """
        folder = self.root / worker
        try:
            if os.geteuid() == 0:
                os.chown(folder, 0, -1)
            folder.chmod(folder.stat().st_mode & 0o555 | 0o550)
        except FileNotFoundError:
            pass

    def socket(self, worker: str) -> Path:
        """Where the worker's socket is, or will be. Dial it with `dialling.dial_unix` only."""
        return self.root / worker / SOCKET_NAME

    def remove(self, worker: str) -> None:
        """Delete the folder and what a tenant left in it; links are not followed. Nothing to delete is success."""
        folder = self.root / worker
        with contextlib.suppress(OSError):
            folder.chmod(0o700)
        if not self._removed_by_name(worker):
            shutil.rmtree(folder, ignore_errors=True)

    def _removed_by_name(self, worker: str) -> bool:
        """Whether it held no more than its socket and is gone: this needs no descriptor, and a start may have failed
        for want of one."""
        try:
            self.socket(worker).unlink(missing_ok=True)
            (self.root / worker).rmdir()
        except OSError:
            return False
        return True

    def workers(self) -> list[str]:
        """Ids of the workers that have one."""
        return [entry.name for entry in self._entries()]

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root) as found:
                return [entry for entry in found if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def _free_uid(self) -> int:
        used = set(self._uids())
        while (uid := FIRST_UID + secrets.randbelow(UIDS)) in used:
            pass
        return uid

    def _uids(self) -> Iterator[int]:
        """Those of the workers that have a folder. Folders may go while we look."""
        for entry in self._entries():
            with contextlib.suppress(OSError):
                # The group stays the worker's when its folder is locked.
                yield entry.stat(follow_symlinks=False).st_gid
                yield self.socket(entry.name).lstat().st_uid


def _not_made(error: OSError) -> FolderError:
    return FolderError(f"the folder of a worker can't be made: {error.strerror}")


async def wait_for_socket(path: Path, *, within_s: float, is_alive: Callable[[], bool]) -> bool:
    """Whether the worker makes its socket in time; False as soon as it is dead."""
    deadline = time.monotonic() + within_s
    while not _is_socket(path):
        if time.monotonic() > deadline or not is_alive():
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False
