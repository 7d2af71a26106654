"""What became of a session's outcomes: told to those who asked, to the agent, and to who decides about the worker."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.commits import confirmed_by, receipt
from orchestrator.core.outcomes import Outcome
from replwire.errors import WireError
from replwire.frames import SEQ, Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession


EXPLAIN_TIMEOUT_S: Final = 0.5
"""For an agent to say what was confirmed; one that can't say it in time is not believed. Less than `commit_wait_ms`:
otherwise the eval is told to be kept meanwhile."""

_HEX: Final = frozenset("0123456789abcdef")


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and _HEX.issuperset(text)


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
            proof = receipt(self._session.services.config.stamp_key, self._session.id, self._generation, seq)
            self._session.link.send_soon(Kind.CONFIRM, (SEQ.pack(seq), request_id.encode(), proof))

    @property
    def _generation(self) -> int:
        return self._session.record.generation

    def fenced(self) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("rolled_back", "the worker's generation is over")

    def breached(self, cause: str) -> None:
        """See `CommitOwner`."""
        words = f"the worker broke the internal protocol: {cause}"
        self._session.replace_worker("worker_protocol_error", words)

    def missed(self, seq: int, cause: str) -> None:
        """See `CommitOwner`."""
        self._session.connector.aside(self._explain(seq, cause))

    async def _explain(self, seq: int, cause: str) -> None:
        """The worker has the word of the front door that committed what is missing, if there was one."""
        session, link = self._session, self._session.link
        said: dict[str, Any] = {}
        if link is not None:
            with contextlib.suppress(WireError):  # the link is lost, and its listener knows
                said = await link.call(Kind.PING, timeout_s=EXPLAIN_TIMEOUT_S)
        if link is None or link is not session.link:
            return
        key = session.services.config.stamp_key
        given = said.get("receipt")
        proof = bytes.fromhex(given) if isinstance(given, str) and _is_hex(given) else b""
        if confirmed_by(proof, key, session.id, self._generation) > seq:
            self.regressed(seq)
        else:
            self.breached(cause)

    def regressed(self, seq: int) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("session_regressed", f"the store has only the commits up to {seq}")

    def damaged(self) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("session_regressed", "what the store holds of the session is damaged")

    def failed(self) -> None:
        """See `CommitOwner`."""
        self._session.replace_worker("internal", "something went wrong on our side")
