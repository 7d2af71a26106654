"""What the in-memory store keeps of a session and of a lineage, and how a commit changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.commits import Commit
from orchestrator.core.intents import WRITTEN, Intent, IntentReply
from orchestrator.core.session import Checkpoint, KnownId, OpenId, Record
from orchestrator.stores.limits import StoreLimits
from replwire.errors import WireError


@dataclass(slots=True)
class Session:
    """All that is stored of one session. `ids` and `journal` are in the order of their seq."""

    record: Record
    ids: dict[str, tuple[KnownId, float]] = field(default_factory=dict)
    """With when it was committed."""
    journal: dict[int, bytes] = field(default_factory=dict)
    state: Checkpoint | None = None
    intents: dict[str, Intent] = field(default_factory=dict)
    gone_at: float = float("inf")
    """When the record of a closed session goes."""

    @property
    def references(self) -> frozenset[bytes]:
        """What its last state refers to."""
        return frozenset(self.state.references) if self.state else frozenset()

    def write(self, commit: Commit, now: float, limits: StoreLimits) -> None:
        """Take a commit that nothing speaks against."""
        for entry in commit.entries:
            self.ids[entry.request_id] = (KnownId(entry.request_id, entry.body_hash, entry.seq), now)
            self.journal[entry.seq] = entry.blob
            self.intents.pop(entry.request_id, None)
        self.state = Checkpoint(commit.seq, commit.generation, commit.manifest, commit.references)
        record, kept = self.record, limits.generations_kept
        self.record = replace(
            record,
            seq=commit.seq,
            etag=commit.etag,
            seen_at=now,
            last_events=_newest(record.last_events, commit.generation, commit.last_event, kept),
            last_seqs=_newest(record.last_seqs, commit.generation, commit.seq, kept),
        )
        self._trim(now, limits)

    def intend(self, intent: Intent, limits: StoreLimits) -> IntentReply:
        """Take an intent of the current generation, unless an earlier one stays."""
        if intent.request_id in self.ids:
            return WRITTEN
        earlier = self.intents.get(intent.request_id)
        if earlier is not None and earlier.generation == intent.generation:
            return WRITTEN
        if earlier is not None and intent.keeps_earlier:
            return IntentReply(earlier=earlier.generation, is_conflict=earlier.body_hash != intent.body_hash)
        self.intents.pop(intent.request_id, None)
        self.intents[intent.request_id] = intent
        if len(self.intents) > limits.intents_kept:
            for oldest in list(self.intents)[: len(self.intents) // 2]:
                del self.intents[oldest]
        return WRITTEN

    def _trim(self, now: float, limits: StoreLimits) -> None:
        while len(self.ids) > limits.ids_kept:
            oldest = next(iter(self.ids))
            if len(self.ids) <= limits.journal_kept and now - self.ids[oldest][1] < limits.ids_kept_s:
                break
            del self.ids[oldest]
        while len(self.journal) > limits.journal_kept:
            del self.journal[next(iter(self.journal))]


@dataclass(slots=True)
class Lineage:
    """What the sessions of a lineage share."""

    members: set[str] = field(default_factory=set)
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    counts: dict[bytes, int] = field(default_factory=dict)
    """States that refer to it."""
    uncounted: dict[bytes, float] = field(default_factory=dict)
    """When it was put last, for those of no state."""

    def put(self, chunks: Mapping[bytes, bytes], now: float) -> None:
        """Chunks ahead of their commit, whatever becomes of it."""
        for item, data in chunks.items():
            self.chunks.setdefault(item, data)
            if item not in self.counts:
                self.uncounted[item] = now

    def move(
        self, held: frozenset[bytes], wanted: Sequence[bytes], carried: Mapping[bytes, bytes]
    ) -> tuple[bytes, ...]:
        """Move the counts from a last state to its next one; if chunks are absent, these, and nothing moves."""
        new = [item for item in dict.fromkeys(wanted) if item not in held]
        missing = tuple(item for item in new if item not in carried and item not in self.chunks)
        if missing:
            return missing
        for item in new:
            if item in carried:
                self.chunks.setdefault(item, carried[item])
            self.uncounted.pop(item, None)
            self.counts[item] = self.counts.get(item, 0) + 1
        self.let_go(held - frozenset(wanted))
        return ()

    def let_go(self, references: frozenset[bytes]) -> None:
        """A state is gone: what no other one refers to goes with it."""
        for item in references:
            self.counts[item] -= 1
            if not self.counts[item]:
                del self.counts[item]
                self.chunks.pop(item, None)

    def condemn(self, due_before: float) -> int:
        """Delete what was put before that and is of no state; how many chunks it was."""
        due = [item for item, put_at in self.uncounted.items() if put_at <= due_before]
        for item in due:
            del self.uncounted[item]
            del self.chunks[item]
        return len(due)


def _newest(numbers: Mapping[int, int], generation: int, number: int, kept: int) -> dict[int, int]:
    grown = {**numbers, generation: number}
    return {name: grown[name] for name in sorted(grown)[-kept:]}


class OpenedIds:
    """Ids of `open` by principal."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, tuple[float, str, bytes]]] = {}

    def session(self, opened: OpenId, fresh: str, now: float, limits: StoreLimits) -> str:
        """The session that the id opens: `fresh`, if it is new. Raises `conflict`."""
        rows = self._rows.setdefault((opened.tenant, opened.subject), {})
        at, session, body_hash = rows.get(opened.request_id, (-math.inf, fresh, b""))
        if now - at < limits.opened_kept_s:
            if body_hash != opened.body_hash:
                raise WireError("conflict", "the id was used with another body")
            return session
        rows.pop(opened.request_id, None)
        rows[opened.request_id] = now, fresh, opened.body_hash
        for oldest in list(rows)[:2]:
            if now - rows[oldest][0] >= limits.opened_kept_s or len(rows) > limits.opened_kept:
                del rows[oldest]
        return fresh
