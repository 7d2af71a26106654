"""Looks at the working folder: what is in it, and whether it changed since the last checkpoint.

A change is seen by inode, size, mtime and ctime. What was modified within the last ticks of the kernel's clock is read
again, because a second change in the same tick would not show. Links are kept as links and never followed;
`__pycache__` is left out.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from replwire.hints import Final, NamedTuple
from replworker.snapshot.contract import LABEL_CHARS_MAX, SnapshotLimits

PATH_CHARS_MAX: Final = 1024
"""Of a kept file, relative to the folder: paths are in the manifest, which has to fit in a frame."""
TICK_NS: Final = 50_000_000
"""Longer than a tick of the clock that stamps files, 1 to 10 ms."""
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

Stamp = tuple[int, int, int, int, int]
"""Inode, mode, size, mtime and ctime in ns."""


class Seen(NamedTuple):
    """One look: relative path to stamp in the order of paths, what is left out and why, the time of the look."""

    stamps: dict[str, Stamp]
    unsaved: dict[str, str]
    at_ns: int

    def is_settled(self, path: str) -> bool:
        """Whether a later change to this path is sure to change its stamp."""
        stamp = self.stamps[path]
        return max(stamp[3], stamp[4]) < self.at_ns - TICK_NS


class Folder:
    """The working folder of this process, looked at for each checkpoint: one `stat` while it is empty and untouched."""

    def __init__(self, path: str | None, limits: SnapshotLimits) -> None:
        self.path = path
        self._limits = limits
        self._root: tuple[int, int] | None = None
        self._last = Seen({}, {}, 0)

    def look(self) -> tuple[Seen, bool]:
        """What is there, and whether it differs from the last look (or may, because it was too fresh then)."""
        if self.path is None:
            return self._last, False
        try:
            root = _stamp(os.stat(self.path))
        except OSError as error:
            return Seen({}, {"file:.": str(error.strerror)}, 0), True
        now_ns = time.time_ns()
        times = root[3], root[4]
        if times == self._root and not self._last.stamps and not self._last.unsaved:
            return self._last, False
        self._root = times if max(times) < now_ns - TICK_NS else None
        seen = self._scan(now_ns)
        last, self._last = self._last, seen
        fresh = any(not last.is_settled(path) for path in last.stamps)
        return seen, fresh or seen.stamps != last.stamps or seen.unsaved != last.unsaved

    def is_empty(self) -> bool:
        """Whether nothing at all is in it, and that could be seen; remembers nothing."""
        try:
            with os.scandir(self.path) as entries:
                return next(entries, None) is None
        except OSError:
            return False

    def _scan(self, now_ns: int) -> Seen:
        found: dict[str, Stamp] = {}
        unsaved: dict[str, str] = {}
        waiting = [""]
        while waiting and len(found) + len(unsaved) <= 2 * self._limits.files_max:
            waiting += self._scan_one(waiting.pop(), found, unsaved)
        return self._bounded(dict(sorted(found.items())), unsaved, now_ns)

    def _scan_one(self, folder: str, found: dict[str, Stamp], unsaved: dict[str, str]) -> list[str]:
        inside: list[str] = []
        most = 2 * self._limits.files_max
        try:
            with os.scandir(os.path.join(self.path or "", folder)) as entries:
                for entry in entries:
                    if len(found) + len(unsaved) > most:
                        break
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    inside += self._note(path, entry, found, unsaved)
        except OSError as error:
            raise_without_descriptors(error)
            unsaved[_label(folder or ".")] = str(error.strerror)
        return inside

    def _note(self, path: str, entry: os.DirEntry[str], found: dict[str, Stamp], unsaved: dict[str, str]) -> list[str]:
        stamp = _stamp(entry.stat(follow_symlinks=False))
        if stat.S_ISDIR(stamp[1]):
            if entry.name == "__pycache__":
                return []
            found[path] = (*stamp[:2], 0, 0, 0)  # its times change with its entries, which are seen by themselves
            return [path]
        if stat.S_ISREG(stamp[1]) or stat.S_ISLNK(stamp[1]):
            found[path] = stamp
        else:
            unsaved[_label(path)] = "not a regular file"
        return []

    def _bounded(self, found: dict[str, Stamp], unsaved: dict[str, str], now_ns: int) -> Seen:
        kept: dict[str, Stamp] = {}
        room = self._limits.files_bytes_max
        for path, stamp in found.items():
            size = stamp[2] if stat.S_ISREG(stamp[1]) else 0
            if len(path) > PATH_CHARS_MAX:
                unsaved[_label(path)] = "its path is too long"
            elif len(kept) >= self._limits.files_max:
                unsaved[_label(path)] = f"over the limit of {self._limits.files_max} files"
            elif size > room:
                unsaved[_label(path)] = f"over the limit of {self._limits.files_bytes_max} bytes of files"
            else:
                room -= size
                kept[path] = stamp
        return Seen(kept, unsaved, now_ns)

    def total_bytes(self) -> int:
        """Sum of the files that a checkpoint would keep; looks without remembering."""
        return 0 if self.path is None else sum(stamp[2] for stamp in self._scan(0).stamps.values())


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _label(path: str) -> str:
    return f"file:{path[:LABEL_CHARS_MAX]}"


def read_file(folder: str, path: str, size_max: int) -> bytes | None:
    """Contents of a regular file, at most `size_max` bytes; None when it is gone, no file, or may not be read."""
    try:
        descriptor = os.open(os.path.join(folder, path), _READ_FLAGS)
        with os.fdopen(descriptor, "rb", buffering=0) as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            parts = []
            while size_max > 0 and (part := opened.read(min(size_max, 1 << 20))):
                parts.append(part)
                size_max -= len(part)
    except OSError as error:
        raise_without_descriptors(error)
        return None
    return b"".join(parts)


def raise_without_descriptors(error: OSError) -> None:
    """The lack of descriptors is no fault of the file's: the caller may have some to lend, and tries again."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
