"""The pipes on the interpreter's stdout and stderr, read without waiting and never until end of file."""

from __future__ import annotations

import os
from io import FileIO

from replwire.hints import Final

READ_BYTES: Final = 64 * 1024
"""One read: what a pipe holds unless the tenant enlarged it."""

DRAIN_BYTES_MAX: Final = 1024 * 1024
"""Taken from one pipe at the end of an eval. A tenant's process that goes on writing must not hold up its outcome."""


class OutputPipe:
    """The agent's end of one pipe; `which` is `STDOUT` or `STDERR` of `text`."""

    __slots__ = ("_file", "fd", "is_open", "which")

    def __init__(self, fd: int, which: int) -> None:
        os.set_blocking(fd, False)
        # FileIO says None where os.read would raise for an empty pipe: half the price on the hot path.
        self._file = FileIO(fd, "rb")
        self.fd = fd
        self.which = which
        self.is_open = True

    def read(self) -> bytes | None:
        """What is there, at most `READ_BYTES`; None when nothing is. Everyone who could write may have gone."""
        data = self._file.read(READ_BYTES)
        if data == b"":
            self.is_open = False
            return None
        return data

    def close(self) -> None:
        """Let go of the descriptor."""
        self._file.close()
