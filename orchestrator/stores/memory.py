"""The public twin of the store: the same answers in plain Python, for tests of all that is built on a store.

It keeps nothing beyond its process, and says so.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from orchestrator.core.commits import Answer, Commit, CommitReply, Entry
from orchestrator.core.intents import FENCED, Intent, IntentReply
from orchestrator.core.session import (
    OpenId,
    Pin,
    Record,
    Seed,
    SessionPolicy,
    WorkerAddress,
)
from orchestrator.ports import Raised, StoreFacts
from orchestrator.stores.commit_rules import check_chunks, check_commit, check_fork, check_rewind, check_seed
from orchestrator.stores.keys import spent_key
from orchestrator.stores.limits import INLINE_BYTES_MAX, StoreLimits
from orchestrator.stores.memory_lineage import Lineage
from orchestrator.stores.memory_opening import NONCE_BYTES, Tables
from orchestrator.stores.memory_reads import MemoryReads
from orchestrator.stores.memory_state import Session
from orchestrator.stores.quotas import pins_used_up

_FACTS: Final = StoreFacts("memory", "memory", ("nothing in this store survives its process",))


class MemoryStore(MemoryReads):
    """An adapter of `orchestrator.ports.Store` that lives in this process. `now` is its clock, Unix seconds."""

    def __init__(self, *, limits: StoreLimits | None = None, now: Callable[[], float] = time.time) -> None:
        self._limits = limits or StoreLimits()
        self._now = now
        super().__init__(Tables(self._limits, now))
        self._spent: dict[bytes, float] = {}
        """Nonces by when they are forgotten."""

    async def facts(self) -> StoreFacts:
        """That nothing in it survives."""
        return _FACTS

    # --- sessions -----------------------------------------------------------------------------------------------

    async def create(
        self, session: str, policy: SessionPolicy, opened: OpenId | None = None, *, sessions_max: int | None = None
    ) -> Record:
        """A new session, or the one that this `open` opened before; an id in use, or a text that is none, is a
        `ValueError`."""
        return self._tables.create(session, policy, opened, sessions_max)

    async def fork(
        self, parent: str, at: int | str, session: str, policy: SessionPolicy, seed: Seed,
        opened: OpenId | None = None, *, sessions_max: int | None = None,
    ) -> Record | None:  # fmt: skip
        """A sibling that begins with a state of the parent's."""
        check_fork(parent, session, seed)
        return self._tables.fork(parent, at, session, policy, seed, opened, sessions_max)

    async def put(self, session: str, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """Chunks for a session that is going to be planted."""
        check_chunks(chunks)
        self._tables.put(session, chunks)

    async def plant(
        self,
        session: str,
        policy: SessionPolicy,
        seed: Seed,
        entries: Sequence[Entry] = (),
        opened: OpenId | None = None,
        *,
        sessions_max: int | None = None,
    ) -> Record | None:
        """A session that begins with a state and a journal from elsewhere."""
        check_seed(seed, entries)
        return self._tables.plant(session, policy, seed, entries, opened, sessions_max)

    async def raise_generation(
        self, session: str, seen: int, owner: str, deadline_s: float, cause: str = "",
        *, vacant: bool = False, above: int = 0,
    ) -> Raised | None:  # fmt: skip
        """Compare-and-set on the generation."""
        found = self._open(session)
        if found is None or found.record.generation != seen or (vacant and found.record.worker is not None):
            return None
        if found.record.owner not in ("", owner) and found.record.deadline > self._now():
            return None
        raised = Raised(max(seen, above) + 1, secrets.token_hex(NONCE_BYTES))
        self._raise(found, raised, owner, deadline_s, cause)
        return raised

    def _raise(self, found: Session, raised: Raised, owner: str, deadline_s: float, cause: str) -> None:
        now = self._now()
        found.record = replace(
            found.record,
            generation=raised.generation,
            nonce=raised.nonce,
            owner=owner,
            deadline=now + deadline_s if owner else 0.0,
            seen_at=now,
            worker=None,
            cause=cause,
        )

    async def publish(self, session: str, raised: Raised, worker: WorkerAddress | None) -> bool:
        """Make the worker's address known, if the replacement is still the caller's."""
        found, now = self._current(session, raised), self._now()
        if found is None:
            return False
        linked_at = now if worker is not None else found.record.linked_at
        found.record = replace(found.record, worker=worker, owner="", deadline=0.0, seen_at=now, linked_at=linked_at)
        return True

    async def now(self) -> float:
        """The clock that it was given."""
        return self._now()

    async def park(self, session: str, seen: Raised, seq: int, until: float) -> bool:
        """The worker agreed to end: nobody's session, at the next generation."""
        found = self._current(session, seen)
        if found is None or found.record.seq != seq or self._now() >= until:
            return False
        self._raise(found, Raised(seen.generation + 1, secrets.token_hex(NONCE_BYTES)), "", 0.0, "parked")
        return True

    async def touch(self, sessions: Sequence[str], linked: Collection[str] = ()) -> None:
        """`seen_at` is now, and `linked_at` where there is a link."""
        now = self._now()
        for found in filter(None, map(self._open, sessions)):
            record = found.record
            found.record = replace(record, seen_at=now, linked_at=now if record.session in linked else record.linked_at)

    async def end(self, session: str) -> None:
        """Close it; the record says so for a while."""
        found = self._open(session)
        if found is not None:
            self._tables.end(session, found)

    # --- commits ------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> CommitReply:
        """The table of durability.md, row by row."""
        check_commit(commit)
        found = self._open(commit.session)
        if found is None:
            return CommitReply(Answer.FENCED)
        lineage, carried = self._lineage(commit.session), dict(commit.chunks)
        if sum(map(len, carried.values())) > INLINE_BYTES_MAX:
            lineage.put(carried, self._now())
            carried = {}
        refused = found.refusal(commit, _FACTS.durable)
        if refused is not None:
            return refused
        missing = lineage.missing(commit.references, carried)
        if missing:
            return CommitReply(Answer.MISSING, missing=missing)
        return self._write(found, commit, carried)

    def _write(self, found: Session, commit: Commit, carried: Mapping[bytes, bytes]) -> CommitReply:
        lineage = self._lineage(commit.session)
        lineage.hold(commit.references, carried)
        for state in found.write(commit, self._now(), self._limits):
            lineage.let_go(state.references)
        return CommitReply(Answer.OK, _FACTS.durable)

    async def rewind(self, commit: Commit, to: int, raised: Raised, owner: str, deadline_s: float) -> CommitReply:
        """A commit of a state of before, and the generation raised with it."""
        check_rewind(commit, raised)
        found = self._open(commit.session)
        if found is None:
            return CommitReply(Answer.FENCED)
        if (found.record.generation, found.record.nonce) == (raised.generation, raised.nonce):
            return CommitReply(Answer.OK, _FACTS.durable)
        refused = found.refusal(commit, _FACTS.durable)
        if refused is not None:
            return refused
        state = found.states.get(to)
        if state is None or state.references != commit.references:
            return CommitReply(Answer.GAP, seq=found.record.seq, etag=found.record.etag)
        reply = self._write(found, commit, {})
        self._raise(found, raised, owner, deadline_s, "rewind")
        return reply

    async def intend(self, wanted: Sequence[Intent]) -> Sequence[IntentReply]:
        """Each as the script would."""
        return [self._intend(intent) for intent in wanted]

    def _intend(self, intent: Intent) -> IntentReply:
        found = self._current(intent.session, Raised(intent.generation, intent.nonce))
        if found is None:
            return FENCED
        found.record = replace(found.record, seen_at=self._now())
        return found.intend(intent, self._limits)

    async def withdraw(self, wanted: Sequence[Intent]) -> None:
        """Those of their own generation."""
        for intent in wanted:
            found = self._find(intent.session)
            stored = found.intents.get(intent.request_id) if found else None
            if found is not None and stored is not None and stored.of_same_run(intent):
                del found.intents[intent.request_id]

    # --- pins ---------------------------------------------------------------------------------------------------

    async def pin(self, session: str, pin: Pin) -> bool:
        """Keep a state under a name; what the name kept before is let go."""
        found = self._open(session)
        if found is None:
            return False
        before, state = found.pins.get(pin.name), found.states.get(pin.seq)
        if before is not None and (before.seq, before.etag) == (pin.seq, pin.etag):
            return True
        if state is None or state.etag != pin.etag:
            return False
        if before is None and len(found.pins) >= self._limits.pins_max:
            raise pins_used_up(session, self._limits.pins_max)
        self._lineage(session).hold(state.references)
        found.pins[pin.name] = state
        if before is not None:
            self._lineage(session).let_go(before.references)
        return True

    async def unpin(self, session: str, name: str) -> bool:
        """Let go of a name."""
        found = self._open(session)
        state = found.pins.pop(name, None) if found else None
        if state is not None:
            self._lineage(session).let_go(state.references)
        return state is not None

    # --- upkeep -------------------------------------------------------------------------------------------------

    async def spend(self, nonce: str, ttl_s: int) -> bool:
        """Use a nonce up; True the first time."""
        key, now = spent_key(nonce), self._now()
        self._spent = {spent: until for spent, until in self._spent.items() if until > now}
        if key in self._spent:
            return False
        self._spent[key] = now + ttl_s
        return True

    async def sweep_chunks(self) -> int:
        """Delete chunks that nothing has referred to for `chunk_grace_s`; how many they were."""
        due_before = self._now() - self._limits.chunk_grace_s
        return sum(lineage.condemn(due_before) for lineage in self._tables.lineages())

    async def close(self) -> None:
        """Nothing waits and nothing is held."""

    def _current(self, session: str, raised: Raised) -> Session | None:
        """The session, if it is open and that is its generation."""
        found = self._open(session)
        is_current = found and (found.record.generation, found.record.nonce) == (raised.generation, raised.nonce)
        return found if is_current else None

    def _lineage(self, session: str) -> Lineage:
        """Of an open session, which has one."""
        lineage = self._tables.lineage(session)
        assert lineage is not None
        return lineage
