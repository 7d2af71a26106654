"""Who guesses has to wait, each time twice as long: data and the time in, seconds out.

Pure: the caller has the clock (one that only grows, so that a clock that is set neither frees nor locks anyone).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FIRST_WAIT_S: Final = 1.0
"""After the first failure that is one too many; doubled with each further one."""

DOUBLINGS_MAX: Final = 30

FORGET_S: Final = 900.0
"""Without a failure for so long, a name begins anew."""

NAMES_MAX: Final = 10_000
"""Remembered at once; the one whose last failure is the oldest is forgotten for a new one."""


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: float


class Backoff:
    """Failures by name (an address, the digest of a token). `free` of them cost nothing."""

    def __init__(self, free: int, wait_s_max: float, names_max: int = NAMES_MAX) -> None:
        self._free = free
        self._wait_s_max = wait_s_max
        self._names_max = names_max
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, name: str, now: float) -> float:
        """How long this name has to wait still; 0: it may try."""
        known = self._failures.get(name)
        if known is None or known.count <= self._free:
            return 0.0
        doublings = min(known.count - self._free - 1, DOUBLINGS_MAX)
        wait_s = min(self._wait_s_max, FIRST_WAIT_S * (1 << doublings))
        return max(0.0, known.last_at + wait_s - now)

    def failed(self, name: str, now: float) -> None:
        """It tried and was wrong."""
        known = self._failures.pop(name, None)
        count = known.count if known is not None and now - known.last_at < FORGET_S else 0
        self._failures[name] = _Failures(count + 1, now)
        if len(self._failures) > self._names_max:
            self._failures.popitem(last=False)
