"""When a worker rehearses, and how often: the same for both of its halves."""

from __future__ import annotations

from replwire.hints import Final

ROUNDS: Final = 8
"""Python specialises code that has run about so often."""

IDLE_BEFORE_S: Final = 0.05
"""Without a claim, before it begins."""
