"""How a store says that a quota of a tenant is used up; the same for every adapter."""

from __future__ import annotations

from typing import Final

from replwire.errors import WireError

RETRY_AFTER_MS: Final = 5000
"""Room comes when the tenant makes some, which takes a client longer than a moment."""


def sessions_used_up(most: int, count: int) -> WireError:
    """The tenant has that many sessions open, and may have `most`."""
    words = f"open sessions of the tenant: {count}, and at most {most} may be: close one, then ask again"
    return WireError("quota_exceeded", words, retry_after_ms=RETRY_AFTER_MS, limit="sessions_max", max=most, open=count)
