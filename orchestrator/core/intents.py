"""The intent to run a request: in the store while its outcome is not, so that a crash leaves a trace of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Intent:
    """A numbered request that goes to the worker of a generation."""

    session: str
    generation: int
    nonce: str
    request_id: str
    body_hash: bytes
    """Of type and payload, and so of the code."""
    principal: str
    keeps_earlier: bool = False
    """Whether what an earlier generation left under this id stays and is told: in sessions that act outside."""

    def of_same_run(self, other: Intent) -> bool:
        """Whether both are of one generation and one body."""
        return (self.generation, self.body_hash) == (other.generation, other.body_hash)


@dataclass(frozen=True, slots=True)
class IntentReply:
    """What the store says of one."""

    is_fenced: bool = False
    """Another generation is current: nothing was written."""
    earlier: int | None = None
    """The generation that was to run the same id and left no outcome; nothing was written."""
    is_conflict: bool = False
    """With `earlier`: it was another body."""


WRITTEN = IntentReply()
"""It is stored, or its id has an outcome already."""

FENCED = IntentReply(is_fenced=True)
