"""The public twin of the store: the same answers in plain Python, for tests of all that is built on a store.

It keeps nothing beyond its process, and says so.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from orchestrator.core.commits import EMPTY_ETAG, Answer, Commit, CommitReply
from orchestrator.core.ids import is_session_id, lineage_of
from orchestrator.core.intents import FENCED, Intent, IntentReply
from orchestrator.core.paging import Position
from orchestrator.core.session import Checkpoint, KnownId, OpenId, Record, SessionPolicy, Status, WorkerAddress
from orchestrator.ports import Raised, StoreFacts
from orchestrator.stores.commit_rules import check_commit
from orchestrator.stores.keys import spent_key
from orchestrator.stores.limits import INLINE_BYTES_MAX, StoreLimits
from orchestrator.stores.memory_state import Lineage, OpenedIds, Session

NONCE_BYTES: Final = 16

_FACTS: Final = StoreFacts("memory", "memory", ("nothing in this store survives its process",))


class MemoryStore:
    """An adapter of `orchestrator.ports.Store` that lives in this process. `now` is its clock, Unix seconds."""

    def __init__(self, *, limits: StoreLimits | None = None, now: Callable[[], float] = time.time) -> None:
        self._limits = limits or StoreLimits()
        self._now = now
        self._sessions: dict[str, Session] = {}
        self._lineages: dict[str, Lineage] = {}
        self._opened = OpenedIds()
        self._spent: dict[bytes, float] = {}
        """Nonces by when they are forgotten."""

    async def facts(self) -> StoreFacts:
        """That nothing in it survives."""
        return _FACTS

    # --- sessions -----------------------------------------------------------------------------------------------

    async def create(self, session: str, policy: SessionPolicy, opened: OpenId | None = None) -> Record:
        """A new session, or the one that this `open` opened before; an id in use, or a text that is none, is a
        `ValueError`."""
        found = self._find(session)
        if opened is not None:
            session = self._opened.session(opened, session, self._now(), self._limits)
            found = self._find(session)
            if found is not None:
                return found.record
        if found is not None:
            raise ValueError("the session id is in use")
        now, nonce = self._now(), secrets.token_hex(NONCE_BYTES)
        record = Record(session, policy, Status.OPEN, now, 0, nonce, 0, EMPTY_ETAG, now)
        self._sessions[session] = Session(record)
        self._lineages.setdefault(lineage_of(session), Lineage()).members.add(session)
        return record

    async def read(self, session: str) -> Record | None:
        """The record as it is now."""
        found = self._find(session) if is_session_id(session) else None
        return found.record if found else None

    async def raise_generation(self, session: str, seen: int, owner: str, deadline_s: float) -> Raised | None:
        """Compare-and-set on the generation."""
        found, now = self._open(session), self._now()
        if found is None or found.record.generation != seen:
            return None
        record = found.record
        if record.owner not in ("", owner) and record.deadline > now:
            return None
        raised = Raised(seen + 1, secrets.token_hex(NONCE_BYTES))
        found.record = replace(
            record,
            generation=raised.generation,
            nonce=raised.nonce,
            owner=owner,
            deadline=now + deadline_s,
            seen_at=now,
            worker=None,
        )
        return raised

    async def publish(self, session: str, raised: Raised, worker: WorkerAddress | None) -> bool:
        """Make the worker's address known, if the replacement is still the caller's."""
        found = self._open(session)
        if found is None or (found.record.generation, found.record.nonce) != (raised.generation, raised.nonce):
            return False
        found.record = replace(found.record, worker=worker, owner="", deadline=0.0, seen_at=self._now())
        return True

    async def touch(self, sessions: Sequence[str]) -> None:
        """`seen_at` is now."""
        for found in filter(None, map(self._open, sessions)):
            found.record = replace(found.record, seen_at=self._now())

    async def end(self, session: str) -> None:
        """Close it; the record says so for a while."""
        found = self._open(session)
        if found is None:
            return
        lineage, now = self._lineages[lineage_of(session)], self._now()
        lineage.let_go(found.references)
        lineage.members.discard(session)
        if not lineage.members:
            del self._lineages[lineage_of(session)]
        record = replace(
            found.record,
            status=Status.CLOSED,
            seen_at=now,
            worker=None,
            owner="",
            deadline=0.0,
            last_events={},
            last_seqs={},
        )
        self._sessions[session] = Session(record, gone_at=now + self._limits.tombstone_s)

    async def sessions(self) -> AsyncIterator[Record]:
        """All records that are open."""
        for session in list(self._sessions):
            found = self._open(session)
            if found is not None:
                yield found.record

    async def sessions_of(
        self, tenant: str, after: Position | None, count: int
    ) -> tuple[Sequence[Record], Position | None]:
        """A page of a tenant's open records, the newest first."""
        found = [record async for record in self.sessions() if record.policy.tenant == tenant]
        placed = sorted(((_position(record), record) for record in found), key=lambda item: item[0], reverse=True)
        rest = [item for item in placed if after is None or item[0] < after]
        part = rest[:count]
        return [record for _, record in part], part[-1][0] if len(rest) > count else None

    # --- commits ------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> CommitReply:
        """The table of durability.md, row by row."""
        check_commit(commit)
        found = self._open(commit.session)
        if found is None:
            return CommitReply(Answer.FENCED)
        lineage, now = self._lineages[lineage_of(commit.session)], self._now()
        carried = dict(commit.chunks)
        if sum(map(len, carried.values())) > INLINE_BYTES_MAX:
            lineage.put(carried, now)
            carried = {}
        refused = _refused(commit, found)
        if refused is not None:
            return refused
        missing = lineage.move(found.references, commit.references, carried)
        if missing:
            return CommitReply(Answer.MISSING, missing=missing)
        found.write(commit, now, self._limits)
        return CommitReply(Answer.OK, _FACTS.durable)

    async def intend(self, wanted: Sequence[Intent]) -> Sequence[IntentReply]:
        """Each as the script would."""
        return [self._intend(intent) for intent in wanted]

    def _intend(self, intent: Intent) -> IntentReply:
        found = self._open(intent.session)
        if found is None or (found.record.generation, found.record.nonce) != (intent.generation, intent.nonce):
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

    # --- reads --------------------------------------------------------------------------------------------------

    async def checkpoint(self, session: str) -> Checkpoint | None:
        """The last committed state."""
        found = self._find(session)
        return found.state if found else None

    async def chunks(self, session: str, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Sealed chunks by content id; those absent are left out."""
        lineage = self._lineages.get(lineage_of(session)) if self._find(session) else None
        if lineage is None:
            return {}
        return {item: lineage.chunks[item] for item in references if item in lineage.chunks}

    async def known_ids(self, session: str) -> Sequence[KnownId]:
        """The id table, oldest first."""
        found = self._find(session)
        return [row for row, _ in found.ids.values()] if found else []

    async def outcome(self, session: str, request_id: str) -> tuple[int, bytes] | None:
        """Seq and sealed entry that an id ended with."""
        found = self._find(session)
        if found is None or request_id not in found.ids:
            return None
        seq = found.ids[request_id][0].seq
        return seq, found.journal[seq]

    async def journal(self, session: str, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """Sealed entries that are kept, in order."""
        found = self._find(session)
        return [(seq, blob) for seq, blob in found.journal.items() if first <= seq <= last] if found else []

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
        """Delete chunks that no state has referred to for `chunk_grace_s`; how many they were."""
        due_before = self._now() - self._limits.chunk_grace_s
        return sum(lineage.condemn(due_before) for lineage in self._lineages.values())

    async def close(self) -> None:
        """Nothing waits and nothing is held."""

    def _find(self, session: str) -> Session | None:
        if not is_session_id(session):
            raise ValueError("not a session id")
        found = self._sessions.get(session)
        if found is not None and found.gone_at <= self._now():
            del self._sessions[session]
            return None
        return found

    def _open(self, session: str) -> Session | None:
        found = self._find(session)
        return found if found is not None and found.record.status is Status.OPEN else None


def _position(record: Record) -> Position:
    return Position(round(record.created_at * 1000), record.session)


def _refused(commit: Commit, found: Session) -> CommitReply | None:
    if (found.record.generation, found.record.nonce) != (commit.generation, commit.nonce):
        return CommitReply(Answer.FENCED)
    known = [(found.ids[entry.request_id][0], entry) for entry in commit.entries if entry.request_id in found.ids]
    if any(row.body_hash != entry.body_hash for row, entry in known):
        return CommitReply(Answer.CONFLICT)
    seq, etag = found.record.seq, found.record.etag
    if len(known) == len(commit.entries):
        stored = tuple((row.seq, found.journal[row.seq]) for row, _ in known)
        return CommitReply(Answer.DUP, _FACTS.durable, stored, seq, etag)
    if known or commit.entries[0].seq != seq + 1 or commit.base_etag != etag:
        return CommitReply(Answer.GAP, seq=seq, etag=etag)
    return None
