"""A file of the operator's, read again when it changes; one that can't be used leaves the last good content in force.

It is looked at when somebody asks, and at most every `LOOK_AGAIN_S`, so that no flood of tokens is a flood of reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

LOOK_AGAIN_S: Final = 1.0
"""How often, at most, a file is looked at; so a change of it is in force this long after, at the latest."""
FILE_BYTES_MAX: Final = 16 * 1024 * 1024

_log = structlog.get_logger("bascule.auth")

Content = TypeVar("Content")


class AuthFileError(Exception):
    """A file that says who may connect can't be used; the message names it and what is wrong with it."""


def text_of(path: Path, limit_bytes: int | None = None) -> str:
    """All of a file's text, `FILE_BYTES_MAX` unless less is allowed; raises `AuthFileError`."""
    bytes_max = FILE_BYTES_MAX if limit_bytes is None else limit_bytes
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise AuthFileError(f"{path}: over {bytes_max} bytes")
        return content.decode("utf-8")
    except OSError as error:
        raise AuthFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AuthFileError(f"{path}: {error}") from None


class Reread(Generic[Content]):
    """What a file says now. `read` makes the content of it, or raises `AuthFileError`, as the first reading does."""

    def __init__(
        self, path: Path, read: Callable[[Path], Content], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._read = read
        self._monotonic = monotonic
        self._stamp = _stamp(path)
        self._content = read(path)
        self._look_at = monotonic() + LOOK_AGAIN_S

    @property
    def content(self) -> Content:
        """The newest that could be used."""
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_AGAIN_S
            self._refresh()
        return self._content

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._content = self._read(self._path)
            _log.info("file read", file=str(self._path))
        except AuthFileError as error:
            _log.error("file refused", file=str(self._path), cause=str(error), meaning="what it said before holds")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
