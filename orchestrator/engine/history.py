"""The journal, a page at a time, as `history` tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from orchestrator.core.seal import SealError
from orchestrator.core.session import visible_to
from orchestrator.engine.services import Services
from replwire.cursors import parse_cursor
from replwire.envelopes import Json
from replwire.errors import WireError
from replwire.messages import History

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

ENTRIES_MAX: Final = 100
"""Of one reply to `history`; without `from`, the last ones."""

BYTES_MAX: Final = 4 * 1024 * 1024
"""Of the entries in one reply; a client that asked for more asks again from where the reply ends."""

ENTRIES_AT_ONCE: Final = 8
"""Read from the store with one call."""

_SHOWN: Final = ("seq", "id", "type", "principal", "at", "cursors", "body", "result")
"""Of a journal entry."""


class Journal:
    """Of every session of this installation."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def last_commit(self, session: LiveSession) -> tuple[int, str]:
        """Seq and etag: of the store, for other front doors commit too; a new session has neither."""
        if session.record.generation == 0 or session.policy.durability == "none":
            return session.committer.seq, session.committer.etag
        record = visible_to(await self._services.store.read(session.id), session.policy.tenant, session.id)
        return record.seq, record.etag

    async def page(self, session: LiveSession, asked: History) -> Json:
        """`entries` and `seq`; raises `session_regressed` for an entry that is not as it was."""
        newest, _ = await self.last_commit(session)
        last = newest if asked.last is None else min(asked.last, newest)
        first = max(1, asked.first if asked.first is not None else last - ENTRIES_MAX + 1)
        last = min(last, first + ENTRIES_MAX - 1)
        found = await self._read(session, first, last, newest_first=asked.first is None)
        return {"entries": [self._entry(session, seq, blob) for seq, blob in found], "seq": newest}

    async def _read(
        self, session: LiveSession, first: int, last: int, *, newest_first: bool
    ) -> list[tuple[int, bytes]]:
        """Those of the entries that fit into one reply, and one at least."""
        found: list[tuple[int, bytes]] = []
        size_bytes = 0
        while first <= last:
            start = max(first, last - ENTRIES_AT_ONCE + 1) if newest_first else first
            end = last if newest_first else min(last, first + ENTRIES_AT_ONCE - 1)
            first, last = (first, start - 1) if newest_first else (end + 1, last)
            part = await self._services.store.journal(session.id, start, end)
            for entry in reversed(part) if newest_first else part:
                size_bytes += len(entry[1])
                if found and size_bytes > BYTES_MAX:
                    return sorted(found)
                found.append(entry)
        return sorted(found)

    def _entry(self, session: LiveSession, seq: int, blob: bytes) -> Json:
        vault, tenant = self._services.vault, session.policy.tenant
        try:
            entry: Json = json.loads(vault.open_entry(tenant, session.id, seq, blob))
        except SealError:
            raise WireError("session_regressed", f"the journal entry {seq} is not as it was sealed", seq=seq) from None
        generation = parse_cursor(entry["cursors"][0]).generation
        return {"generation": generation} | {key: entry[key] for key in _SHOWN}
