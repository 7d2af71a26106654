"""How a store says that a quota is used up; the same for every adapter."""

from __future__ import annotations

from typing import Final

from replwire.errors import WireError

RETRY_AFTER_MS: Final = 5000
"""Room comes when the tenant makes some, which takes a client longer than a moment."""


def pins_used_up(session: str, most: int) -> WireError:
    """The session has `pins_max`; nobody needs to come back before it lets go of one."""
    words = f"a session has at most {most} pins: let go of one"
    return WireError("quota_exceeded", words, session=session, limit="pins_max", max=most)


def sessions_used_up(most: int, count: int) -> WireError:
    """The tenant has that many sessions open, and may have `most`."""
    words = f"open sessions of the tenant: {count}, and at most {most} may be: close one, then ask again"
    return WireError("quota_exceeded", words, retry_after_ms=RETRY_AFTER_MS, limit="sessions_max", max=most, open=count)
