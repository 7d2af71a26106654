"""How often a principal may ask: a token bucket each, in a table that is bounded. Pure: the caller brings the time."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

BUCKETS_MAX: Final = 10_000
"""Principals that are remembered; the one that asked longest ago is forgotten first, and so starts with all it may."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second on average, and so many at once after a pause."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to one request: `wait_s` is 0 when it is allowed, else the time until one would be."""

    left: int
    """Requests that would be allowed at once now."""
    full_in_s: float
    """Until all of the burst is there again."""
    wait_s: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class RateLimiter:
    """Buckets by the name of a principal; times are seconds that only grow."""

    def __init__(self, rate: Rate, buckets_max: int = BUCKETS_MAX) -> None:
        self._rate = rate
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, principal: str, now_s: float) -> Grant:
        """Count one request, if it is allowed."""
        bucket = self._filled(principal, now_s)
        allowed = bucket.tokens >= 1
        bucket.tokens -= allowed
        wait_s = 0.0 if allowed else (1 - bucket.tokens) / self._rate.per_s
        full_in_s = (self._rate.burst - bucket.tokens) / self._rate.per_s
        return Grant(math.floor(bucket.tokens), full_in_s, wait_s)

    def _filled(self, principal: str, now_s: float) -> _Bucket:
        bucket = self._buckets.pop(principal, None) or _Bucket(self._rate.burst, now_s)
        bucket.tokens = min(self._rate.burst, bucket.tokens + (now_s - bucket.at_s) * self._rate.per_s)
        bucket.at_s = now_s
        self._buckets[principal] = bucket
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)
