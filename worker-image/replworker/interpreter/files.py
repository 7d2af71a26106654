"""`files`: list, read, write, delete, stat and digest in the session's working folder, and nowhere else."""

from __future__ import annotations

import binascii
import os
import stat
from collections.abc import Callable
from io import BufferedReader

from replwire.hints import Any, Final

ENTRIES_MAX: Final = 2000
HASHED_AT_ONCE: Final = 256 * 1024
"""Bytes of a file in memory while it is digested."""

Answer = dict[str, Any]


class FileFault(Exception):
    """What the client asked for can't be done; `code` is one of the wire's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Files:
    """Of one working folder."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._bytes_max = 0
        self._operations: dict[str, Callable[[str, dict[str, Any]], Answer]] = {
            "list": self._list, "read": self._read, "write": self._write, "delete": self._delete, "stat": self._stat,
            "digest": self._digest,
        }  # fmt: skip

    def limit(self, file_bytes_max: int) -> None:
        """See `replwire.limits`."""
        self._bytes_max = file_bytes_max

    def serve(self, payload: dict[str, Any]) -> Answer:
        """The reply; `{"error": {code, message}}` for what can't be done."""
        try:
            operation = self._operations[payload["op"]]
            return operation(self._place(payload["path"]), payload)
        except FileFault as fault:
            return {"error": {"code": fault.code, "message": fault.message}}
        except FileNotFoundError:
            return {"error": {"code": "not_found", "message": "no such file"}}
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return {"error": {"code": _code_of(error), "message": reason}}

    def _place(self, path: str) -> str:
        """The path in full; links are followed as far as they stay inside. Raises `FileFault`."""
        if os.path.isabs(path) or "\0" in path:
            raise FileFault("bad_message", "path is relative to the working folder")
        whole = os.path.normpath(os.path.join(self._folder, path))
        real = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
        for place in (whole, real, os.path.realpath(whole)):
            if place != self._folder and not place.startswith(self._folder + os.sep):
                raise FileFault("forbidden", "path leads out of the working folder")
        return whole

    def _list(self, place: str, payload: dict[str, Any]) -> Answer:
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        shown = [{"name": entry.name, **_facts(entry.stat(follow_symlinks=False))} for entry in found[:ENTRIES_MAX]]
        return {"entries": shown, "more": max(0, len(found) - ENTRIES_MAX)}

    def _stat(self, place: str, payload: dict[str, Any]) -> Answer:
        return _facts(os.lstat(place))

    def _read(self, place: str, payload: dict[str, Any]) -> Answer:
        offset, length = payload.get("offset") or 0, payload.get("length")
        with _opened(place) as file:
            facts = _facts(os.fstat(file.fileno()))
            file.seek(offset)
            data = file.read(self._bytes_max + 1 if length is None else min(length, self._bytes_max))
        if len(data) > self._bytes_max:
            raise FileFault("too_large", f"that is over {self._bytes_max} bytes: read it in parts")
        return {"data": binascii.b2a_base64(data, newline=False).decode("ascii"), **facts}

    def _digest(self, place: str, payload: dict[str, Any]) -> Answer:
        import hashlib

        digest, left = hashlib.sha256(), payload.get("length")
        with _opened(place) as file:
            facts = _facts(os.fstat(file.fileno()))
            file.seek(payload.get("offset") or 0)
            while data := file.read(HASHED_AT_ONCE if left is None else min(left, HASHED_AT_ONCE)):
                digest.update(data)
                left = None if left is None else left - len(data)
        return {"sha256": digest.hexdigest(), **facts}

    def _write(self, place: str, payload: dict[str, Any]) -> Answer:
        data = _decoded(payload.get("data"))
        if len(data) > self._bytes_max:
            raise FileFault("too_large", f"data is over {self._bytes_max} bytes")
        if place == self._folder:
            raise FileFault("bad_message", "path names the working folder itself")
        if os.path.isdir(place):
            raise FileFault("bad_message", "a folder has this name")
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if payload.get("more") or payload.get("offset"):
            return self._write_part(place, data, payload.get("offset") or 0, more=bool(payload.get("more")))
        self._replace(place, data)
        return {"size": len(data)}

    def _write_part(self, place: str, data: bytes, offset: int, *, more: bool) -> Answer:
        """The parts gather beside the file and take its place with the last one."""
        unfinished = os.path.join(os.path.dirname(place), f".{os.path.basename(place)}.unfinished")
        start = os.O_CREAT | os.O_TRUNC if offset == 0 else 0
        # A link or a pipe of this name is the tenant's: it is neither followed nor waited for.
        handle = os.open(unfinished, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | start, 0o666)
        with open(handle, "wb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size != offset:
                raise FileFault("conflict", f"the parts so far are {found.st_size} bytes, not {offset}")
            file.seek(offset)
            file.write(data)
        if more:
            return {"size": offset + len(data), "unfinished": os.path.relpath(unfinished, self._folder)}
        os.replace(unfinished, os.path.realpath(place))
        return {"size": offset + len(data)}

    def _replace(self, place: str, data: bytes) -> None:
        """All of the new content or all of the old."""
        unfinished = os.path.join(os.path.dirname(place), f".{os.getpid()}.unfinished")
        try:
            with open(unfinished, "wb") as file:
                file.write(data)
            os.replace(unfinished, os.path.realpath(place))
        except BaseException:
            _quietly_remove(unfinished)
            raise

    def _delete(self, place: str, payload: dict[str, Any]) -> Answer:
        if place == self._folder:
            raise FileFault("bad_message", "path names the working folder itself")
        if os.path.isdir(place) and not os.path.islink(place):
            import shutil

            shutil.rmtree(place)
        else:
            os.unlink(place)
        return {}


def _opened(place: str) -> BufferedReader:
    # A pipe that a tenant made would never answer.
    handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileFault("bad_message", "not a file")
    return open(handle, "rb")


def _decoded(data: object) -> bytes:
    if not isinstance(data, str):
        raise FileFault("bad_message", "write needs data")
    try:
        return binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except (ValueError, binascii.Error):
        raise FileFault("bad_message", "data is not base64") from None


def _facts(found: os.stat_result) -> Answer:
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))
    kind = next((name for test, name in kinds if test(found.st_mode)), "other")
    etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    return {"kind": kind, "size": found.st_size, "modified": found.st_mtime, "etag": etag}


def _code_of(error: Exception) -> str:
    import errno

    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "quota_exceeded"
    return "forbidden" if number in (errno.EACCES, errno.EPERM, errno.EROFS) else "bad_message"


def _quietly_remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
