"""Who is told what became of a session's commits."""

from __future__ import annotations

from typing import Protocol

from orchestrator.core.outcomes import Outcome


class CommitOwner(Protocol):
    """The session, as its commits see it."""

    def committed(self, outcomes: tuple[Outcome, ...], etags: tuple[str, ...], durable: str) -> None:
        """These are durable, in this order; the session's seq and etag move on."""

    def committed_elsewhere(self, outcomes: tuple[Outcome, ...]) -> None:
        """Another front door has committed these: the store has what became of them."""

    def fenced(self) -> None:
        """The generation is over: the store's record is the truth now, also about what was just sent."""

    def breached(self, cause: str) -> None:
        """The worker broke the protocol."""

    def missed(self, seq: int, cause: str) -> None:
        """The store is at `seq`, and lacks what came before the worker's next outcome: the worker lies, or the store
        has lost what another front door had confirmed. Whichever it is, nothing more can be committed."""

    def regressed(self, seq: int) -> None:
        """The store lacks a commit that was confirmed: it has another history, up to `seq`."""

    def damaged(self) -> None:
        """What the store holds of the session can't be; the log has it."""

    def failed(self) -> None:
        """A fault of ours; the log has it."""
