"""A blob store in a folder of this machine, or of a file system that all front doors share.

An object is written under another name, synced, and linked to its own: whoever finds it finds the whole of it. The
folder that holds it is synced too, before the object is told as durable. What a crash leaves has a name that no object
has, and goes when it is old.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from orchestrator.stores.blob_names import check_name
from replwire.errors import WireError

THREADS: Final = 8
"""Objects that are written or read at the same time."""

CALL_DEADLINE_S: Final = 30.0
"""For one call, a slow disk's sync included."""

LEFT_OVER_S: Final = 3600.0
"""How old a half-written file is before it goes; no call takes nearly as long."""

NAMES_AT_ONCE: Final = 1000
"""Handed over at once while the folder is listed."""

RETRY_AFTER_MS: Final = 1000

_UNFINISHED: Final = ".unfinished-"
_Result = TypeVar("_Result")


class FolderBlobs:
    """An adapter of `orchestrator.ports.BlobStore`."""

    def __init__(self, root: Path, *, deadline_s: float = CALL_DEADLINE_S) -> None:
        self._root = root.absolute()
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    def prepare(self) -> None:
        """Make the folder, and see that objects can be written into it; raises `OSError`."""
        self._make_folder(self._root)
        probe = self._root / f"{_UNFINISHED}{secrets.token_hex(8)}"
        _write(probe, b"")
        probe.unlink()

    async def put(self, name: str, data: bytes) -> None:
        """Durable when this returns; one that is there stays as it is."""
        check_name(name)
        await self._in_thread(lambda: self._put(self._root / name, data))

    async def get(self, name: str) -> bytes | None:
        """The bytes, or None."""
        check_name(name)
        return await self._in_thread(lambda: _read(self._root / name))

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """Names that begin so; half-written files of long ago go on the way."""
        listing = self._walk(prefix)
        while part := await self._in_thread(lambda: _next_part(listing)):
            for name in part:
                yield name

    async def delete(self, name: str) -> None:
        """Nothing to delete is success; a folder that is empty then goes with it."""
        check_name(name)
        await self._in_thread(lambda: self._delete(self._root / name))

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    async def _in_thread(self, call: Callable[[], _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(self._threads, call)
        except OSError as error:
            cause = "timeout" if isinstance(error, TimeoutError) else (error.strerror or type(error).__name__)
            raise WireError(
                "store_unavailable", f"the blob store is away: {cause}", retry_after_ms=RETRY_AFTER_MS, cause=cause
            ) from None

    # --- in a thread --------------------------------------------------------------------------------------------

    def _put(self, path: Path, data: bytes) -> None:
        unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
        self._make_folder(path.parent)
        try:
            try:
                _write(unfinished, data)
            except FileNotFoundError:
                # The folder was empty, and somebody who deleted its last object took it away.
                self._make_folder(path.parent)
                _write(unfinished, data)
            with contextlib.suppress(FileExistsError):
                # Unlike a rename it never replaces what is there.
                os.link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        # Each one, whoever made it: who did may not have come to its sync. One that has not changed costs nothing.
        for folder in (path.parent, *path.parent.parents):
            _sync_folder(folder)
            if folder == self._root:
                break

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self._root:
            self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True, parents=folder == self._root)
        _sync_folder(folder.parent)

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # It fails where there is more in it; nothing has to be durable about a deletion.
            if path.parent != self._root:
                path.parent.rmdir()

    def _walk(self, prefix: str) -> Iterator[str]:
        folder = self._root / prefix.rpartition("/")[0]
        for at, _, files in os.walk(folder):
            base = Path(at)
            for file in files:
                if file.startswith(_UNFINISHED):
                    _drop_if_old(base / file)
                    continue
                name = (base / file).relative_to(self._root).as_posix()
                if name.startswith(prefix):
                    yield name


def _next_part(listing: Iterator[str]) -> list[str]:
    return [name for _, name in zip(range(NAMES_AT_ONCE), listing, strict=False)]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_if_old(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > LEFT_OVER_S:
            path.unlink()
