"""A session as one sealed file: its last state, its policy, and its journal, a piece at a time.

Nothing in it is opened here but our own seals: what a worker made stays bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from orchestrator.core.encoding import to_text
from orchestrator.core.export_format import PREFIX_BYTES, SALT_BYTES, ExportWriter, Kind
from orchestrator.core.seal import SealError
from orchestrator.core.session import Checkpoint, Record
from orchestrator.engine.services import Services
from orchestrator.engine.states import States
from replwire.envelopes import Json
from replwire.errors import WireError

JOURNAL_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the journal that goes along, the newest entries."""

JOURNAL_ENTRIES_MAX: Final = 10_000
"""Of the same."""

ENTRIES_AT_ONCE: Final = 8
CHUNKS_AT_ONCE: Final = 16
"""Read from the store with one call: some megabytes at most."""

POLICY_FIELDS: Final = ("durability", "image", "name", "idle_timeout_s", "park_unsaved", "limits")
"""What travels of a session's policy; who owns it is decided where it is imported."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to be written."""

    record: Record
    state: Checkpoint
    manifest: bytes
    references: tuple[bytes, ...]
    first: int
    """Seq of the oldest entry."""
    entries: int


class Exporter:
    """Of one front door."""

    def __init__(self, services: Services, states: States, key: bytes) -> None:
        self._services = services
        self._states = states
        self._key = key

    async def export(self, record: Record) -> AsyncIterator[bytes]:
        """The pieces of the file. Raises `not_found` before the first one; later ones can only break off."""
        plan = await self._plan(record)
        return self._pieces(plan)

    async def _plan(self, record: Record) -> _Plan:
        state = await self._states.of(record, None)
        manifest = self._states.opened(record, state)
        first, entries = await self._journal_within(record, state.seq)
        references = tuple(dict.fromkeys(state.references))
        return _Plan(record, state, manifest, references, first, entries)

    async def _journal_within(self, record: Record, last: int) -> tuple[int, int]:
        """The first seq of the newest entries that may go along, and how many they are."""
        first, entries, size_bytes = last + 1, 0, 0
        end = last
        while end > 0 and entries < JOURNAL_ENTRIES_MAX:
            start = max(1, end - ENTRIES_AT_ONCE + 1)
            found = await self._services.store.journal(record.session, start, end)
            for seq, blob in reversed(found):
                size_bytes += len(blob)
                if seq != first - 1 or size_bytes > JOURNAL_BYTES_MAX:
                    return first, entries
                first, entries = seq, entries + 1
            if len(found) < end - start + 1:
                break
            end = start - 1
        return first, entries

    async def _pieces(self, plan: _Plan) -> AsyncIterator[bytes]:
        random = self._services.random
        writer = ExportWriter(self._key, self._head(plan), random(SALT_BYTES), random(PREFIX_BYTES))
        yield writer.begin()
        policy = {name: getattr(plan.record.policy, name) for name in POLICY_FIELDS}
        yield writer.add(Kind.POLICY, to_text(policy).encode("utf-8"))
        yield writer.add(Kind.MANIFEST, plan.manifest)
        yield writer.add(Kind.REFERENCES, b"".join(plan.state.references))
        async for entry in self._entries(plan):
            yield writer.add(Kind.ENTRY, entry)
        async for chunk in self._chunks(plan):
            yield writer.add(Kind.CHUNK, chunk)
        yield writer.finish()

    def _head(self, plan: _Plan) -> Json:
        return {
            "tenant": plan.record.policy.tenant,
            "session": plan.record.session,
            "seq": plan.state.seq,
            "etag": plan.state.etag,
            "entries": plan.entries,
            "chunks": len(plan.references),
            "at": self._services.clock.now(),
        }

    async def _entries(self, plan: _Plan) -> AsyncIterator[bytes]:
        vault, record = self._services.vault, plan.record
        for start in range(plan.first, plan.state.seq + 1, ENTRIES_AT_ONCE):
            end = min(plan.state.seq, start + ENTRIES_AT_ONCE - 1)
            found = await self._services.store.journal(record.session, start, end)
            if len(found) != end - start + 1:
                raise WireError("not_found", "the journal was cut while it was read; ask again", seq=start)
            for seq, blob in found:
                try:
                    yield vault.open_entry(record.policy.tenant, record.session, seq, blob)
                except SealError:
                    words = f"the journal entry {seq} is not as it was sealed"
                    raise WireError("session_regressed", words, seq=seq) from None

    async def _chunks(self, plan: _Plan) -> AsyncIterator[bytes]:
        vault, record = self._services.vault, plan.record
        for start in range(0, len(plan.references), CHUNKS_AT_ONCE):
            wanted = plan.references[start : start + CHUNKS_AT_ONCE]
            found = await self._services.store.chunks(record.session, wanted)
            for item in wanted:
                if item not in found:
                    raise WireError("not_found", "the state was let go of while it was read; ask again")
                try:
                    yield item + vault.open_chunk(record.policy.tenant, item, found[item])
                except SealError:
                    raise WireError("session_regressed", "a part of the state is not as it was sealed") from None
