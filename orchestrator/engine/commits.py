"""Commits of one session: outcomes in, one commit at a time out, and what the store answers carried out.

While a commit is on its way, further outcomes gather; the next commit takes them all, so that none is ever left
behind (durability.md, trace 2). Nothing is called committed that is not.

Another front door may commit outcomes of the same worker. It is noticed when an outcome comes out of turn, or by what
the store answers; then the store says what the next commit builds on, and which outcomes it has already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from orchestrator import faults
from orchestrator.core.commits import EMPTY_ETAG, Answer, Commit, CommitReply, chain
from orchestrator.core.outcomes import Outcome, ProtocolBreach
from orchestrator.core.session import Checkpoint, Record
from orchestrator.engine.chunks import STATE_BYTES, Chunks
from orchestrator.engine.commit_owner import CommitOwner
from orchestrator.engine.sealing import CommitSealer
from orchestrator.engine.services import Services, digest
from replwire.errors import WireError

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
"""Between tries while the store is away."""

UNCOMMITTED_MAX: Final = 128
"""Outcomes that wait for their commit; an agent that is not hostile refuses requests far below."""

TRAIL_MAX: Final = 64
"""Commits whose etags are remembered, to tell how far a store went back."""

ANSWERS_WITHOUT_PROGRESS_MAX: Final = 3
"""GAP or MISSING answers in a row before it is called a breach."""

_log = structlog.get_logger("bascule.commits")


class Committer:
    """For one generation of one session: a worker that is replaced gets a new one."""

    def __init__(self, services: Services, owner: CommitOwner, record: Record) -> None:
        self._services = services
        self._owner = owner
        self._session = record.session
        self._sealer = CommitSealer(services, record)
        self._waiting: list[Outcome] = []
        self._chunks = Chunks(record.policy.limits.get("state_bytes_max", STATE_BYTES) - STATE_BYTES)
        self._base_references: frozenset[bytes] | None = frozenset()
        """None: another front door has committed, and the store says what the next commit builds on."""
        self._task: asyncio.Task[None] | None = None
        self._stuck = 0
        self._commits_ok = services.metrics.commits.labels(Answer.OK.value)
        self.seq = 0
        self.etag = ""
        self.trail: deque[tuple[int, str]] = deque([(0, EMPTY_ETAG)], maxlen=TRAIL_MAX)
        """The last commits that we know of: seq and etag, in order."""
        self.store_is_away = False

    def start_from(self, seq: int, etag: str, references: tuple[bytes, ...]) -> None:
        """The state that the next commit builds on."""
        self.seq, self.etag, self._base_references = seq, etag, frozenset(references)
        if seq:
            self.trail.append((seq, etag))

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
        """An outcome to commit; False when it is here already. Raises `ProtocolBreach` for what no worker says."""
        if outcome.seq <= self.last_seq:
            return False
        if len(self._waiting) >= UNCOMMITTED_MAX or any(o.request_id == outcome.request_id for o in self._waiting):
            raise ProtocolBreach("too many outcomes, or two of the same id")
        self._chunks.keep()
        if outcome.seq == self.last_seq + 1:
            self._check_references(outcome)
        self._waiting.append(outcome)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return True

    def _check_references(self, outcome: Outcome) -> None:
        base = self._base_references
        if base is None:
            return
        unknown = [item for item in outcome.state.references if item not in base and item not in self._chunks]
        if unknown:
            raise ProtocolBreach(
                f"the checkpoint of eval {outcome.seq} refers to {len(unknown)} chunks that were not sent"
            )

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
            try:
                goes_on = await self._step()
            except WireError as error:
                if error.code != "store_unavailable":
                    self._damaged(error)
                    return
                self._away(error)
                await asyncio.sleep(delay_s)
                delay_s = min(RETRY_MAX_S, delay_s * 2)
                continue
            self.store_is_away = False
            delay_s = RETRY_FIRST_S
            if not goes_on:
                return
        self._task = None

    async def _step(self) -> bool:
        """One question to the store and what follows from its answer; whether to go on. Raises `WireError`."""
        if self._base_references is None or self._waiting[0].seq != self.seq + 1:
            return self._catch_up(await self._services.store.checkpoint(self._session))
        batch = self._in_turn()
        commit = self._sealer.commit(self.etag, batch, self._chunks.of(batch[-1].state.references))
        began = self._services.clock.monotonic()
        faults.mark("before-commit")
        reply = await self._services.store.commit(commit)
        faults.mark("after-commit")
        self._services.metrics.commit_seconds.observe(self._services.clock.monotonic() - began)
        return self._carry_out(batch, commit, reply)

    def _in_turn(self) -> tuple[Outcome, ...]:
        """Those that follow one another; what another front door has committed may lie between two that wait."""
        first = self._waiting[0].seq
        return tuple(outcome for at, outcome in enumerate(self._waiting) if outcome.seq == first + at)

    def _catch_up(self, state: Checkpoint | None) -> bool:
        """Build on the state that the store has; whether to go on."""
        seq, etag, references = (state.seq, state.etag, state.references) if state else (0, EMPTY_ETAG, ())
        if self.knows_more_than(seq, etag):
            return self._regressed(seq)
        self._drop(tuple(outcome for outcome in self._waiting if outcome.seq <= seq))
        self.start_from(seq, etag, references)
        if not self._waiting:
            return True
        if self._waiting[0].seq != seq + 1:
            self._task = None
            self._owner.missed(seq, f"eval {self._waiting[0].seq} came after eval {seq}")
            return False
        try:
            for outcome in self._in_turn():
                self._check_references(outcome)
        except ProtocolBreach as breach:
            return self._breach(str(breach))
        return True

    def _drop(self, outcomes: tuple[Outcome, ...]) -> None:
        """Another front door has committed these first ones that waited."""
        if outcomes:
            self._stuck = 0
            del self._waiting[: len(outcomes)]
            self._forget_chunks()
            self._owner.committed_elsewhere(outcomes)

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
            case Answer.OK:
                self._done(batch, commit, reply)
                return True
            case Answer.DUP:
                return self._known_already(batch, commit, reply)
            case Answer.GAP:
                return self._gap(reply)
            case Answer.MISSING:
                return self._behind("the store lacks chunks that the worker did not send")
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

    def _known_already(self, batch: tuple[Outcome, ...], commit: Commit, reply: CommitReply) -> bool:
        """Our own commit whose reply was lost, or another front door's. Under another seq it is somebody's trick."""
        if [seq for seq, _ in reply.stored] != [outcome.seq for outcome in batch]:
            return self._breach("an id was committed under another seq")
        if (reply.seq, reply.etag) == (commit.seq, commit.etag):
            self._done(batch, commit, reply)
        else:
            self._drop(batch)
            self.seq, self.etag, self._base_references = batch[-1].seq, EMPTY_ETAG, None
        return True

    def _gap(self, reply: CommitReply) -> bool:
        if self.knows_more_than(reply.seq, reply.etag):
            return self._regressed(reply.seq)
        return self.settle(reply.seq, reply.etag) or self._behind("the store is ahead of the worker")

    def knows_more_than(self, seq: int, etag: str) -> bool:
        """Whether the store, which says that it is at this seq and etag, has gone back: more was committed."""
        return seq < self.seq or (seq == self.seq and self.etag not in (EMPTY_ETAG, etag))

    def _regressed(self, seq: int) -> bool:
        self._task = None
        self._owner.regressed(seq)
        return False

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
        self.start_from(outcomes[-1].seq, etag, references)
        self._forget_chunks()

    def _forget_chunks(self) -> None:
        self._chunks.forget_all_but(item for outcome in self._waiting for item in outcome.state.references)

    def _behind(self, cause: str) -> bool:
        self._base_references = None
        self._stuck += 1
        return True if self._stuck < ANSWERS_WITHOUT_PROGRESS_MAX else self._breach(cause)

    def _breach(self, cause: str) -> bool:
        self._task = None
        self._owner.breached(cause)
        return False
