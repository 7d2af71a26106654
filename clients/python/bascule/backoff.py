"""When to try again: exponential back-off with full jitter, within a total time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from bascule.settings import Settings

DOUBLINGS_MAX: Final = 60
"""Of the first wait; far beyond any limit, and short of an overflow."""

Uniform = Callable[[float, float], float]


class Outage:
    """One loss of the connection, from its first try to its last. `now` is monotonic, in seconds."""

    def __init__(self, settings: Settings, now: float, uniform: Uniform = random.uniform) -> None:
        self._first_s = settings.reconnect_first_s
        self._delay_max_s = settings.reconnect_delay_max_s
        self._uniform = uniform
        self._began = now
        self._ends = now + settings.reconnect_timeout_s
        self._tries = 0

    def delay(self, now: float, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next try, or None when the time is up.

        What the server asked for is waited for in full, with the jitter on top, so that its clients do not come back
        in step.
        """
        ceiling = min(self._delay_max_s, self._first_s * 2.0 ** min(self._tries, DOUBLINGS_MAX))
        self._tries += 1
        wait_s = (retry_after or 0.0) + self._uniform(0.0, ceiling)
        return wait_s if now + wait_s < self._ends else None

    def seconds(self, now: float) -> float:
        """How long it has lasted."""
        return now - self._began
