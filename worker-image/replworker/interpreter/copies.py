"""A tenant's `os.fork()` copies the interpreter too.

The copy runs the rest of its eval and ends there, as a script does; its output is heard. The session is served by the
original alone: two writers on one socket would answer each other's requests.
"""

from __future__ import annotations

import os

from replwire.hints import Final, NoReturn

NOT_HERE: Final = "a forked process can neither display nor ask: only the session's own process can"

FAILED_STATUS: Final = 1
"""Exit status of a copy whose eval ended in an exception, as of a script."""

_original: Final = [0]


def this_is_the_original() -> None:
    """In the process that serves the session from now on."""
    _original[0] = os.getpid()


def original() -> int:
    """Process id of the one that serves the session."""
    return _original[0]


def is_copy() -> bool:
    """Whether this process was forked from the session's own. By process id: C code may fork without Python's hooks."""
    return os.getpid() != _original[0]


def end(failure: BaseException | None) -> NoReturn:
    """End this copy with the status that a script would have."""
    os._exit(_status_of(failure))


def _status_of(failure: BaseException | None) -> int:
    if failure is None:
        return 0
    code = failure.code if isinstance(failure, SystemExit) else FAILED_STATUS
    return code & 0xFF if isinstance(code, int) else FAILED_STATUS if code is not None else 0
