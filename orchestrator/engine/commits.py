"""Commits of one session: outcomes in, one commit at a time out, and what the store answers carried out.

While a commit is on its way, further outcomes gather; the next commit takes them all, so that none is ever left
behind (durability.md, trace 2). Nothing is called committed that is not.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from orchestrator import faults
from orchestrator.core.commits import Answer, Commit, CommitReply, chain
from orchestrator.core.outcomes import Outcome, ProtocolBreach
from orchestrator.core.session import Record
from orchestrator.engine.chunks import Chunks
from orchestrator.engine.sealing import CommitSealer
from orchestrator.engine.services import Services, digest
from replwire.errors import WireError

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
"""Between tries while the store is away."""

UNCOMMITTED_MAX: Final = 128
"""Outcomes that wait for their commit; an agent that is not hostile refuses requests far below."""

ANSWERS_WITHOUT_PROGRESS_MAX: Final = 3
"""GAP or MISSING answers in a row before it is called a breach."""

_log = structlog.get_logger("bascule.commits")


class CommitOwner(Protocol):
    """The session, as its commits see it."""

    def committed(self, outcomes: tuple[Outcome, ...], etags: tuple[str, ...], durable: str) -> None:
        """These are durable, in this order; the session's seq and etag move on."""

    def fenced(self) -> None:
        """The generation is over: the store's record is the truth now, also about what was just sent."""

    def breached(self, cause: str) -> None:
        """The worker broke the protocol."""

    def regressed(self, seq: int) -> None:
        """The store lacks a commit that was confirmed: it has another history, up to `seq`."""

    def damaged(self) -> None:
        """What the store holds of the session can't be; the log has it."""

    def failed(self) -> None:
        """A fault of ours; the log has it."""


class Committer:
    """For one generation of one session: a worker that is replaced gets a new one."""

    def __init__(self, services: Services, owner: CommitOwner, record: Record) -> None:
        self._services = services
        self._owner = owner
        self._session = record.session
        self._sealer = CommitSealer(services, record)
        self._waiting: list[Outcome] = []
        self._chunks = Chunks()
        self._base_references: frozenset[bytes] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._stuck = 0
        self._commits_ok = services.metrics.commits.labels(Answer.OK.value)
        self.seq = 0
        self.etag = ""
        self.store_is_away = False

    def start_from(self, seq: int, etag: str, references: tuple[bytes, ...]) -> None:
        """The state that the first commit builds on."""
        self.seq, self.etag = seq, etag
        self._base_references = frozenset(references)

    @property
    def waiting(self) -> tuple[Outcome, ...]:
        """Executed and not committed, in order."""
        return tuple(self._waiting)

    @property
    def last_seq(self) -> int:
        """Of what was executed, committed or not."""
        return self._waiting[-1].seq if self._waiting else self.seq

    def take_chunk(self, content_id: bytes, data: bytes) -> None:
        """See `Chunks`."""
        self._chunks.take(content_id, data)

    def add(self, outcome: Outcome) -> bool:
        """An outcome to commit; False when it is here already. Raises `ProtocolBreach` for one out of turn."""
        if outcome.seq <= self.last_seq:
            return False
        if outcome.seq != self.last_seq + 1:
            raise ProtocolBreach(f"eval {outcome.seq} came after eval {self.last_seq}")
        if len(self._waiting) >= UNCOMMITTED_MAX or any(o.request_id == outcome.request_id for o in self._waiting):
            raise ProtocolBreach("too many outcomes, or two of the same id")
        self._chunks.keep()
        unknown = [
            item for item in outcome.state.references if item not in self._base_references and item not in self._chunks
        ]
        if unknown:
            raise ProtocolBreach(
                f"the checkpoint of eval {outcome.seq} refers to {len(unknown)} chunks that were not sent"
            )
        self._waiting.append(outcome)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return True

    def stop(self) -> None:
        """Commit nothing more; what waits is for the owner to answer."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None
        self.store_is_away = False  # nobody asks it any more

    async def _run(self) -> None:
        try:
            await self._commit_all()
        except Exception:  # noqa: BLE001 - the end of the task: whoever waits for a commit must be answered
            _log.exception("commit failed", session_id=self._session)
            self._task = None
            self._owner.failed()

    async def _commit_all(self) -> None:
        delay_s = RETRY_FIRST_S
        while self._waiting:
            batch = tuple(self._waiting)
            commit = self._sealer.commit(self.etag, batch, self._chunks.of(batch[-1].state.references))
            began = self._services.clock.monotonic()
            try:
                faults.mark("before-commit")
                reply = await self._services.store.commit(commit)
                faults.mark("after-commit")
            except WireError as error:
                if error.code != "store_unavailable":
                    self._damaged(error)
                    return
                self._away(error)
                await asyncio.sleep(delay_s)
                delay_s = min(RETRY_MAX_S, delay_s * 2)
                continue
            self._services.metrics.commit_seconds.observe(self._services.clock.monotonic() - began)
            self.store_is_away = False
            delay_s = RETRY_FIRST_S
            if not self._carry_out(batch, commit, reply):
                return
        self._task = None

    def _damaged(self, error: WireError) -> None:
        """It answers, and asking again would not change what it holds."""
        _log.error("commit refused", session_id=self._session, cause=error.message, waiting=len(self._waiting))
        self._task = None
        self._owner.damaged()

    def _away(self, error: WireError) -> None:
        if not self.store_is_away:
            _log.warning("commit delayed", session_id=self._session, cause=error.message, waiting=len(self._waiting))
        self.store_is_away = True

    def _carry_out(self, batch: tuple[Outcome, ...], commit: Commit, reply: CommitReply) -> bool:
        """Whether to go on committing."""
        self._count(reply.answer)
        match reply.answer:
            case Answer.OK | Answer.DUP:
                # A DUP is our own commit whose reply was lost: with another seq it would be somebody's trick.
                if reply.answer is Answer.DUP and [seq for seq, _ in reply.stored] != [o.seq for o in batch]:
                    return self._breach("an id was committed under another seq")
                self._done(batch, commit, reply)
                return True
            case Answer.GAP:
                return self._gap(reply)
            case Answer.MISSING:
                return self._again("the store lacks chunks that the worker did not send")
            case Answer.FENCED:
                self._task = None
                self._owner.fenced()
                return False
            case Answer.CONFLICT:
                return self._breach("an id was committed with another body")

    def _count(self, answer: Answer) -> None:
        if answer is Answer.OK:
            self._commits_ok.inc()
        else:
            self._services.metrics.commits.labels(answer.value).inc()

    def _done(self, batch: tuple[Outcome, ...], commit: Commit, reply: CommitReply) -> None:
        self._advance(batch, commit.etag, commit.references)
        self._services.metrics.checkpoint_bytes.observe(
            len(commit.manifest) + sum(len(data) for _, data in commit.chunks)
        )
        self._owner.committed(batch, commit.etags, reply.durable)

    def _gap(self, reply: CommitReply) -> bool:
        if reply.seq < self.seq or (reply.seq == self.seq and reply.etag != self.etag):
            self._task = None
            self._owner.regressed(reply.seq)
            return False
        return self.settle(reply.seq, reply.etag) or self._again("the store is ahead of the worker")

    def settle(self, seq: int, etag: str) -> bool:
        """The store is at this seq and etag: if that is part of what waits, applied with its reply lost, the owner is
        told, and the rest builds on it. Whether it was so."""
        known = tuple(outcome for outcome in self._waiting if outcome.seq <= seq)
        if not known or known[-1].seq != seq:
            return False
        state = known[-1].state
        etags = chain(self.etag, known, digest(state.manifest))
        if etags[-1] != etag:
            return False
        self._advance(known, etag, state.references)
        self._owner.committed(known, etags, self._services.facts.found_durable)
        return True

    def _advance(self, outcomes: tuple[Outcome, ...], etag: str, references: tuple[bytes, ...]) -> None:
        self._stuck = 0
        del self._waiting[: len(outcomes)]
        self.seq, self.etag = outcomes[-1].seq, etag
        self._base_references = frozenset(references)
        self._chunks.forget_all_but(item for outcome in self._waiting for item in outcome.state.references)

    def _again(self, cause: str) -> bool:
        self._stuck += 1
        return True if self._stuck < ANSWERS_WITHOUT_PROGRESS_MAX else self._breach(cause)

    def _breach(self, cause: str) -> bool:
        self._task = None
        self._owner.breached(cause)
        return False
