"""Marked points: the moments of an eval at which a process may die worst, by name.

A server passes them and nothing happens: `mark` does nothing, reads nothing and knows no setting. Only a program of the
tests (`tests/durability/faulty_server.py`) puts something in its place, to end or stop the process there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

POINTS: Final = (
    "after-dispatch",
    "after-execute",
    "before-commit",
    "after-commit",
    "before-result",
    "before-raise",
    "after-raise",
    "before-publish",
    "after-publish",
)
"""A request has gone to the worker; its outcome has come; its commit is about to be sent; the reply of that has come;
its result is about to go to the client; around the raise of a generation; around the publishing of a new worker."""


def _nothing(point: str, /) -> None:
    """What a mark does in a server."""


mark: Callable[[str], None] = _nothing
"""Called by its module's name, `faults.mark("…")`, so that what is installed is what is called."""


def install(hook: Callable[[str], None]) -> None:
    """From now on each mark calls `hook` with its point. For test programs, before the server is built."""
    global mark
    mark = hook
