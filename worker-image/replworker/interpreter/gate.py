"""When an interrupt may hit: while a tenant's code runs, and at no other moment.

The agent's interrupt is SIGINT. The handler raises `KeyboardInterrupt` in an open gate and does nothing in a closed
one, so that what comes late never hits the next eval. Where our own code would lose bytes, it is put off for a moment.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
from _thread import get_ident
from time import monotonic
from types import FrameType


class Gate:
    """Of one interpreter. Handlers run in the main thread only, and so all of it belongs to that thread."""

    __slots__ = ("_main", "_opens_at", "_pending", "defers", "is_open", "was_used")

    def __init__(self) -> None:
        self._main = get_ident()
        self.is_open = False
        """Whether an interrupt may be raised now. Cleared by hand where `close()` would be one call too many: a signal
        is served where a function begins, and what its handler raises would get past the `except` that calls it."""
        self._pending: BaseException | None = None
        self._opens_at = 0.0
        self.defers = False
        """Set around steps of ours that must not be torn; `resume()` ends it."""
        self.was_used = False
        """Whether an interrupt was raised since the gate was opened."""
        self._install()

    def _install(self) -> None:
        # Not `signal.signal`, which makes enumeration members of its arguments: 5 µs of each eval.
        _signal.signal(_signal.SIGINT, self._handle)

    @property
    def lets_through(self) -> bool:
        """Whether what a signal handler of the tenant's raises may be raised now: while his eval runs."""
        return self.is_open and not self._opens_at

    @property
    def is_main(self) -> bool:
        """Whether this thread is the one that interrupts hit."""
        return get_ident() == self._main

    def open(self, *, after_s: float = 0.0) -> None:
        """Let interrupts through, those that come at least `after_s` seconds from now.

        The handler is installed again each time, because a tenant may have put another one in its place.
        """
        self._install()
        self.was_used = self.defers = False
        self._pending = None
        self._opens_at = monotonic() + after_s if after_s else 0.0
        self.is_open = True

    def open_with_timer(self, after_s: float, again_s: float) -> None:
        """Open it, and interrupt what runs after so many seconds, again and again until `stop_timer`.

        For the time before a tenant has any say about signals: SIGALRM is his own afterwards.
        """
        self.open()
        _signal.signal(_signal.SIGALRM, self._handle)
        _signal.setitimer(_signal.ITIMER_REAL, after_s, again_s)

    def stop_timer(self) -> None:
        """Close it, and leave SIGALRM as it was."""
        self.close()
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)

    def close(self) -> None:
        """Let none through. An interrupt that comes just before is dropped: what it was meant for has ended."""
        self.is_open = self.defers = False
        self._pending = None

    def resume(self) -> None:
        """The end of `defers`; raises what came meanwhile."""
        self.defers = False
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending

    def put_off(self, failure: BaseException) -> None:
        """Raise it at the end of `defers`."""
        self._pending = failure

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.is_open or (self._opens_at and monotonic() < self._opens_at):
            return
        self.was_used = True
        if not self.defers:
            raise KeyboardInterrupt
        self.put_off(KeyboardInterrupt())
