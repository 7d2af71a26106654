"""Where a page of a tenant's sessions begins: newest first, so a position is a time and, within it, an id."""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.core.ids import is_session_id
from replwire.errors import WireError

DIGITS_MAX: Final = 15
"""Of a time in milliseconds."""


class Position(NamedTuple):
    """The last session that a page showed; the next one begins after it. To clients its text is opaque."""

    at_ms: int
    session: str

    def __str__(self) -> str:
        return f"{self.at_ms}.{self.session}"


def parse_position(text: str) -> Position:
    """Read a cursor that a client sent; raises `bad_message` for anything that this server never made."""
    at_ms, _, session = text.partition(".")
    if not (at_ms.isascii() and at_ms.isdigit() and len(at_ms) <= DIGITS_MAX and is_session_id(session)):
        raise WireError("bad_message", "this cursor is not one of ours", field="cursor")
    return Position(int(at_ms), session)
