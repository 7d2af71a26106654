"""Files of the working folder as a part of the checkpoint, and back.

Small files travel together; a large one has blocks of its own, which are not read again while it stays unchanged.
"""

from __future__ import annotations

import marshal
import os
import stat
from collections.abc import Mapping

from replwire.hints import Any, Final, NamedTuple
from replworker.snapshot.blobs import Blob, Cutter, joined
from replworker.snapshot.contract import SnapshotLimits
from replworker.snapshot.folder import Folder, Seen, Stamp, read_file

LARGE_FILE_BYTES: Final = 64 * 1024

COMPARED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of files that are read to find out whether they are what they were."""

_LINK, _FOLDER, _FILE = "link", "folder", "file"


class Packed(NamedTuple):
    """The files of one checkpoint: small ones as marshalled entries, large ones apart."""

    small: bytes
    large: tuple[tuple[str, Stamp], ...]
    unsaved: dict[str, str]
    size: int


class Files:
    """The folder's files from checkpoint to checkpoint."""

    def __init__(self, path: str | None, limits: SnapshotLimits) -> None:
        self._folder = Folder(path, limits)
        self._chunk_bytes = limits.chunk_bytes
        self._packed = Packed(b"", (), {}, 0)
        self._seen = Seen({}, {}, 0)
        self._blocks: dict[tuple[str, Stamp], tuple[bytes, ...]] = {}
        self._is_nothing = False

    def is_empty(self) -> bool:
        """Whether a look at the folder is worth nothing: it is empty, or there is none."""
        return self._folder.path is None or self._folder.is_empty()

    def pack_nothing(self) -> None:
        """The next `pack` is of a folder that was empty, whatever is in it by then."""
        self._is_nothing = True

    def pack(self) -> Packed:
        """Look at the folder and read the small files if anything changed."""
        if self._is_nothing:
            self._is_nothing, self._seen, self._packed = False, Seen({}, {}, 0), Packed(b"", (), {}, 0)
            return self._packed
        self._seen, changed = self._folder.look()
        if changed:
            self._packed = self._pack(self._seen)
            self._blocks = {key: self._blocks[key] for key in self._packed.large if key in self._blocks}
        return self._packed

    def _pack(self, seen: Seen) -> Packed:
        entries: list[Any] = []
        large: list[tuple[str, Stamp]] = []
        unsaved = dict(seen.unsaved)
        for path, stamp in seen.stamps.items():
            if stat.S_ISREG(stamp[1]) and stamp[2] >= LARGE_FILE_BYTES:
                large.append((path, stamp))
                continue
            entry = self._entry(path, stamp)
            if entry is None:
                unsaved[f"file:{path}"] = "can't be read"
            else:
                entries.append(entry)
        small = marshal.dumps(entries) if entries else b""
        return Packed(small, tuple(large), unsaved, len(small) + sum(stamp[2] for _, stamp in large))

    def _entry(self, path: str, stamp: Stamp) -> tuple[Any, ...] | None:
        where = os.path.join(self._folder.path or "", path)
        permissions = stat.S_IMODE(stamp[1])
        if stat.S_ISDIR(stamp[1]):
            return _FOLDER, path, permissions
        if stat.S_ISLNK(stamp[1]):
            try:
                return _LINK, path, os.readlink(where)
            except OSError:
                return None
        data = read_file(self._folder.path or "", path, LARGE_FILE_BYTES)
        return None if data is None else (_FILE, path, permissions, stamp[3], data)

    def are_as_packed(self) -> bool:
        """Whether the folder is as the last `pack` found it. What is in the files counts, not only their stamps, which
        not every kernel changes when a file is written to as memory; with more than can be read soon: False."""
        seen, _ = self._folder.look()
        if seen.unsaved or sum(stamp[2] for stamp in seen.stamps.values()) > COMPARED_BYTES_MAX:
            return False
        now, packed = self._pack(seen), self._packed
        return (now.small, now.large, now.unsaved) == (packed.small, packed.large, packed.unsaved) and all(
            self._is_same(key) for key in packed.large
        )

    def _is_same(self, key: tuple[str, Stamp]) -> bool:
        """A large file whose blocks are known."""
        data = read_file(self._folder.path or "", key[0], key[1][2])
        return data is not None and Cutter(frozenset(), self._chunk_bytes).cut(data) == self._blocks.get(key)

    def total_bytes(self) -> int:
        """Size of the files as they are now."""
        return self._folder.total_bytes()

    def large_blobs(self, packed: Packed, cutter: Cutter, unsaved: dict[str, str]) -> list[tuple[Any, ...]]:
        """Entries of the large files, with their blocks; one that can't be read is added to `unsaved`."""
        entries = []
        for key in packed.large:
            blocks = self._large_blob(key, cutter)
            if blocks is None:
                unsaved[f"file:{key[0]}"] = "can't be read"
            else:
                entries.append((key[0], stat.S_IMODE(key[1][1]), key[1][3], blocks))
        return entries

    def _large_blob(self, key: tuple[str, Stamp], cutter: Cutter) -> tuple[bytes, ...] | None:
        blocks = self._blocks.get(key)
        if blocks is not None and cutter.refer(blocks):
            return blocks
        data = read_file(self._folder.path or "", key[0], key[1][2])
        if data is None:
            return None
        blocks = cutter.cut(data)
        if self._seen.is_settled(key[0]):
            self._blocks[key] = blocks
        return blocks


def restore_files(
    small: bytes, large: list[tuple[Any, ...]], chunks: Mapping[bytes, bytes], folder: str
) -> dict[str, str]:
    """Put the files back, folders first; gives those that could not be written, with reasons."""
    failed: dict[str, str] = {}
    entries = marshal.loads(small) if small else []
    folders = [entry for entry in entries if entry[0] == _FOLDER]
    for _, path, _ in folders:
        _attempt(failed, path, os.makedirs, os.path.join(folder, path), 0o700, True)
    for path, permissions, modified_ns, blob in large:
        _attempt(failed, path, _write, folder, path, permissions, modified_ns, joined(blob, chunks))
    for entry in entries:
        if entry[0] == _FILE:
            _attempt(failed, entry[1], _write, folder, *entry[1:])
        elif entry[0] == _LINK:
            _attempt(failed, entry[1], _link, os.path.join(folder, entry[1]), entry[2])
    for _, path, permissions in reversed(folders):
        _attempt(failed, path, os.chmod, os.path.join(folder, path), permissions)
    return failed


def _attempt(failed: dict[str, str], path: str, step: Any, *arguments: Any) -> None:
    try:
        step(*arguments)
    except OSError as error:
        failed[f"file:{path}"] = str(error.strerror)


def _write(folder: str, path: str, permissions: int, modified_ns: int, data: bytes) -> None:
    where = os.path.join(folder, path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(where, flags, 0o600), "wb", buffering=0) as opened:
        view = memoryview(data)
        while view:
            view = view[opened.write(view) :]
        os.fchmod(opened.fileno(), permissions)
    os.utime(where, ns=(modified_ns, modified_ns))


def _link(where: str, target: str) -> None:
    if os.path.lexists(where):
        os.unlink(where)
    os.symlink(target, where)


__all__ = ["LARGE_FILE_BYTES", "Blob", "Files", "Packed", "restore_files"]
