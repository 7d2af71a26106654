"""What the in-memory store keeps of a session, and how commits and pins change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.commits import Answer, Commit, CommitReply, Entry
from orchestrator.core.intents import WRITTEN, Intent, IntentReply
from orchestrator.core.session import Checkpoint, KeptStates, KnownId, Pin, Record
from orchestrator.stores.limits import StoreLimits


@dataclass(slots=True)
class Session:
    """All that is stored of one session. `ids`, `journal` and `states` are in the order of their seq."""

    record: Record
    ids: dict[str, tuple[KnownId, float]] = field(default_factory=dict)
    """With when it was committed."""
    journal: dict[int, bytes] = field(default_factory=dict)
    states: dict[int, Checkpoint] = field(default_factory=dict)
    pins: dict[str, Checkpoint] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    gone_at: float = float("inf")
    """When the record of a closed session goes."""

    def state(self, at: int | str | None) -> Checkpoint | None:
        """The last state, or the kept one of a seq or of a pin."""
        if isinstance(at, str):
            return self.pins.get(at)
        return self.states.get(self.record.seq if at is None else at)

    @property
    def held(self) -> Iterator[Checkpoint]:
        """Every state that refers to chunks, once for each reason that keeps it."""
        yield from self.states.values()
        yield from self.pins.values()

    @property
    def kept(self) -> KeptStates:
        """Which states there are to go back to."""
        pins = (Pin(name, state.seq, state.etag) for name, state in sorted(self.pins.items()))
        return KeptStates(tuple(self.states), tuple(pins))

    def refusal(self, commit: Commit, durable: str) -> CommitReply | None:
        """What speaks against it, chunks aside; None for nothing."""
        if (self.record.generation, self.record.nonce) != (commit.generation, commit.nonce):
            return CommitReply(Answer.FENCED)
        known = [(self.ids[entry.request_id][0], entry) for entry in commit.entries if entry.request_id in self.ids]
        if any(row.body_hash != entry.body_hash for row, entry in known):
            return CommitReply(Answer.CONFLICT)
        seq, etag = self.record.seq, self.record.etag
        if len(known) == len(commit.entries):
            stored = tuple((row.seq, self.journal[row.seq]) for row, _ in known)
            return CommitReply(Answer.DUP, durable, stored, seq, etag)
        if known or commit.entries[0].seq != seq + 1 or commit.base_etag != etag:
            return CommitReply(Answer.GAP, seq=seq, etag=etag)
        return None

    def write(self, commit: Commit, now: float, limits: StoreLimits) -> list[Checkpoint]:
        """Take a commit that nothing speaks against; the states that are not kept any more."""
        self.remember(commit.entries, now)
        state = Checkpoint(commit.seq, commit.generation, commit.manifest, commit.references, commit.etag)
        self.states[commit.seq] = state
        record, kept = self.record, limits.generations_kept
        self.record = replace(
            record,
            seq=commit.seq,
            etag=commit.etag,
            seen_at=now,
            linked_at=now,
            last_events=_newest(record.last_events, commit.generation, commit.last_event, kept),
            last_seqs=_newest(record.last_seqs, commit.generation, commit.seq, kept),
        )
        self._trim(now, limits)
        return [self.states.pop(seq) for seq in list(self.states)[: -limits.states_kept]]

    def remember(self, entries: Sequence[Entry], now: float) -> None:
        """Ids and journal entries; a later one of the same id takes its place."""
        for entry in entries:
            self.ids.pop(entry.request_id, None)
            self.ids[entry.request_id] = (KnownId(entry.request_id, entry.body_hash, entry.seq), now)
            self.journal[entry.seq] = entry.blob
            self.intents.pop(entry.request_id, None)

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


def _newest(numbers: Mapping[int, int], generation: int, number: int, kept: int) -> dict[int, int]:
    grown = {**numbers, generation: number}
    return {name: grown[name] for name in sorted(grown)[-kept:]}
