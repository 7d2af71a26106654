"""The file objects that a tenant sees as `sys.stdout`, `sys.stderr` and `sys.stdin`: one of each, for ever."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from replwire.hints import Any, Final
from replworker.interpreter.capture import Capture
from replworker.interpreter.pipes import Pipe

ENCODING: Final = "utf-8"
ERRORS: Final = "backslashreplace"
"""A lone surrogate must not cost the whole print."""


class _Binary(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, capture: Capture, pipe: Pipe, fd: int, name: str) -> None:
        self._capture = capture
        self._pipe = pipe
        self._fd = fd
        self.name = name
        self.mode = "wb"

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Bytes as they are; how many."""
        with memoryview(data) as view:
            self._capture.put(self._pipe, view.tobytes())
            return view.nbytes

    def flush(self) -> None:
        """What is held goes out."""
        self._capture.flush()

    def fileno(self) -> int:
        """The descriptor that C code and child processes write to."""
        return self._fd

    def close(self) -> None:
        """It stays open: the next eval prints too."""
        self.flush()


class Output(io.TextIOBase):
    """`sys.stdout` or `sys.stderr`."""

    def __init__(self, capture: Capture, pipe: Pipe, fd: int, name: str) -> None:
        self._capture = capture
        self._pipe = pipe
        self._binary = _Binary(capture, pipe, fd, name)
        self.name = name
        self.mode = "w"
        self.line_buffering = False
        self.write_through = True

    @property
    def buffer(self) -> _Binary:
        """For bytes."""
        return self._binary

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """UTF-8."""
        return ENCODING

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How a lone surrogate is shown."""
        return ERRORS

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Text; how many characters. Raises `TypeError` for anything else."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._capture.put(self._pipe, text.encode(ENCODING, ERRORS))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        """Each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """What is held goes out."""
        self._capture.flush()

    def fileno(self) -> int:
        """The descriptor that C code and child processes write to."""
        return self._binary.fileno()

    def reconfigure(self, **options: Any) -> None:
        """As `io.TextIOWrapper` has it, for programs that call it; encoding and buffering stay as they are."""

    def close(self) -> None:
        """It stays open: the next eval prints too."""
        self.flush()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r} encoding={ENCODING!r}>"


class Input(io.TextIOBase):
    """`sys.stdin`: each line is asked of the client."""

    def __init__(self, ask_line: Callable[[], str]) -> None:
        self._ask_line = ask_line
        self._rest = ""
        self.name = "<stdin>"
        self.mode = "r"
        self._binary = _InputBytes(self)

    @property
    def buffer(self) -> _InputBytes:
        """For bytes."""
        return self._binary

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """UTF-8."""
        return ENCODING

    def readable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Descriptor 0, which is at its end: what reads there asks nobody."""
        return 0

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        """One line with its end; the empty text when nobody may be asked, or the client says that it is the end."""
        if size == 0:
            return ""
        self._rest = self._rest or self._next_lines()
        # An answer of several lines is read like as many answers.
        end = self._rest.find("\n") + 1
        cut = end if size is None or size < 0 else min(size, end)
        line, self._rest = self._rest[:cut], self._rest[cut:]
        return line

    def _next_lines(self) -> str:
        try:
            return self._ask_line() + "\n"
        except EOFError:
            return ""

    def read(self, size: int | None = -1) -> str:
        """Up to `size` characters of the next line; without a size all lines, until the client ends the input."""
        if size is not None and size >= 0:
            return self.readline(size)
        return "".join(iter(self.readline, ""))

    def close(self) -> None:
        """It stays open: the next eval may ask too."""


class _InputBytes(io.BufferedIOBase):
    """`sys.stdin.buffer`."""

    def __init__(self, text: Input) -> None:
        self._text = text
        self._rest = b""
        self.name = "<stdin>"
        self.mode = "rb"

    def readable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """As that of the text."""
        return self._text.fileno()

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its end; empty when nobody may be asked, or the client says that it is the end."""
        if size == 0:
            return b""
        line = self._rest or self._text.readline().encode(ENCODING, "surrogateescape")
        cut = len(line) if size is None or size < 0 else size
        self._rest = line[cut:]
        return line[:cut]

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes of the next line; without a size all lines, until the client ends the input."""
        if size is not None and size >= 0:
            return self.readline(size)
        return b"".join(iter(self.readline, b""))

    def read1(self, size: int = -1) -> bytes:
        """The next line, or so many bytes of it."""
        return self.readline(size)

    def close(self) -> None:
        """It stays open."""
