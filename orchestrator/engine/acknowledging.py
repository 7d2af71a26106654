"""What became of a session's outcomes: told to those who asked, to the agent, and to who decides about the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.outcomes import Outcome
from replwire.frames import SEQ, Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession


class Acknowledger:
    """Of one `LiveSession`; the `CommitOwner` of its committers."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self.kept: set[int] = set()
        """Seqs of results that went out before their commit."""

    def committed(self, outcomes: tuple[Outcome, ...], etags: tuple[str, ...], durable: str) -> None:
        """See `CommitOwner`."""
        for outcome, etag in zip(outcomes, etags, strict=True):
            self._session.services.intents.committed(self._session.id, outcome.request_id)
            if outcome.seq in self.kept:
                self.kept.discard(outcome.seq)
                said = {"target": outcome.request_id, "seq": outcome.seq, "etag": etag, "durable": durable}
                self._session.tell("committed", said)
            # Also after a kept one: its id may have been sent again meanwhile.
            self._session.reception.finished(outcome, "committed", durable, etag)
        self.confirm(outcomes[-1].seq, outcomes[-1].request_id)

    def committed_elsewhere(self, outcomes: tuple[Outcome, ...]) -> None:
        """See `CommitOwner`."""
        session = self._session
        for outcome in outcomes:
            session.services.intents.committed(session.id, outcome.request_id)
            was_kept = outcome.seq in self.kept
            self.kept.discard(outcome.seq)
            session.connector.tell_committed(outcome, was_kept=was_kept)
        self.confirm(outcomes[-1].seq, outcomes[-1].request_id)

    def confirm(self, seq: int, request_id: str) -> None:
        """Tell the agent that it may forget its outcomes up to this one."""
        if self._session.link is not None:
            self._session.link.send_soon(Kind.CONFIRM, (SEQ.pack(seq), request_id.encode()))

    def fenced(self) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("rolled_back", "the worker's generation is over")

    def breached(self, cause: str) -> None:
        """See `CommitOwner`."""
        words = f"the worker broke the internal protocol: {cause}"
        self._session.replace_worker("worker_protocol_error", words)

    def regressed(self, seq: int) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("session_regressed", f"the store has only the commits up to {seq}")

    def damaged(self) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("session_regressed", "what the store holds of the session is damaged")

    def failed(self) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("internal", "something went wrong on our side")
