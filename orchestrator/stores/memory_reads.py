"""All that the in-memory store is asked and that changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from orchestrator.core.ids import is_session_id
from orchestrator.core.paging import Position
from orchestrator.core.session import Checkpoint, KeptStates, KnownId, Record
from orchestrator.stores.memory_opening import Tables
from orchestrator.stores.memory_state import Session


class MemoryReads:
    """The reading half of `MemoryStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def read(self, session: str) -> Record | None:
        """The record as it is now."""
        found = self._find(session) if is_session_id(session) else None
        return found.record if found else None

    async def sessions(self) -> AsyncIterator[Record]:
        """All records that are open."""
        for session in list(self._tables.sessions):
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

    async def checkpoint(self, session: str, at: int | str | None = None) -> Checkpoint | None:
        """The last committed state, or one that is kept."""
        found = self._find(session)
        return found.state(at) if found else None

    async def kept_states(self, session: str) -> KeptStates:
        """Which states there are to go back to."""
        found = self._find(session)
        return found.kept if found else KeptStates((), ())

    async def chunks(self, session: str, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Sealed chunks by content id; those absent are left out."""
        self._find(session)
        lineage = self._tables.lineage(session)
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

    def _find(self, session: str) -> Session | None:
        return self._tables.find(session)

    def _open(self, session: str) -> Session | None:
        return self._tables.find_open(session)


def _position(record: Record) -> Position:
    return Position(round(record.created_at * 1000), record.session)
