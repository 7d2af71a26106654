"""When a worker agrees to end, so that its session can be parked (durability.md, "Replace, park, wake")."""

from __future__ import annotations


class Parking:
    """From the agreement on nothing is begun, until the front door that asked has had its time to tell the store."""

    __slots__ = ("_idle_since", "_until")

    def __init__(self) -> None:
        self._idle_since = self._until = 0.0

    def used(self, now: float) -> None:
        """A request came or has ended."""
        self._idle_since = now

    def is_agreed(self, idle_s: float, park_s: float, now: float) -> bool:
        """Whether nothing was asked for so long; for `park_s` from now on nothing is begun, if so."""
        if now < self._idle_since + idle_s:
            return False
        self._until = now + park_s
        return True

    def begins_nothing(self, now: float) -> bool:
        """Whether the worker is about to end."""
        return now < self._until
