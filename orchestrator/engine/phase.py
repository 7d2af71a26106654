"""Where a session in hand is on the way to its worker, as a table: an illegal move is a missing key."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Phase(Enum):
    """Of the way to the worker."""

    NONE = "none"
    CONNECTING = "connecting"
    LINKED = "linked"
    ENDED = "ended"


_MOVES: Final[dict[Phase, tuple[Phase, ...]]] = {
    Phase.NONE: (Phase.CONNECTING, Phase.ENDED),
    Phase.CONNECTING: (Phase.CONNECTING, Phase.LINKED, Phase.NONE, Phase.ENDED),
    Phase.LINKED: (Phase.CONNECTING, Phase.ENDED),
    Phase.ENDED: (),
}


def move_phase(now: Phase, to: Phase) -> Phase:
    """The next phase; raises `AssertionError` for a move that the table does not have."""
    if to not in _MOVES[now]:
        raise AssertionError(f"a session does not go from {now.value} to {to.value}")
    return to
