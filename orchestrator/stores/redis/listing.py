"""The sessions of a tenant, page by page, the newest first.

A session is put into the list before its record is made and taken out when it ends, so a crash in between leaves an
entry without a record: whoever meets one drops it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from orchestrator.core.ids import is_session_id
from orchestrator.core.paging import Position
from orchestrator.core.session import Record, Status
from orchestrator.stores.keys import session_keys, tenant_key
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.index import readable

ENTRIES_AT_ONCE: Final = 100
"""Entries and their records that are read with one call each."""


async def page(
    calls: Calls, tenant: str, after: Position | None, count: int, grace_s: float
) -> tuple[Sequence[Record], Position | None]:
    """At most `count` open records after a position, and the position of the last one when there are more."""
    found: list[Record] = []
    last = None
    async for position, record in _open_records(calls, tenant, after, grace_s):
        if len(found) == count:
            return found, last
        found.append(record)
        last = position
    return found, None


async def _open_records(
    calls: Calls, tenant: str, after: Position | None, grace_s: float
) -> AsyncIterator[tuple[Position, Record]]:
    key, time = tenant_key(tenant), await calls.ask(b"TIME")
    stale_ms = (int(time[0]) - grace_s) * 1000
    async for part in _entries(calls, key, after):
        replies = await calls.ask_all([(b"HGETALL", session_keys(entry.session).record) for entry in part])
        gone = []
        for entry, reply in zip(part, replies, strict=True):
            record = readable(entry.session, reply)
            if record is not None and record.status is Status.OPEN and record.policy.tenant == tenant:
                yield entry, record
            elif record is not None or (not reply and entry.at_ms < stale_ms):
                gone.append(entry.session)
        if gone:
            await calls.ask(b"ZREM", key, *gone)


async def _entries(calls: Calls, key: bytes, after: Position | None) -> AsyncIterator[list[Position]]:
    """Positions, the newest first, some at a time."""
    while True:
        top = b"+inf" if after is None else after.at_ms
        part: list[Position] = []
        offset = 0
        # Those of the same millisecond as the last one come again, until there are others.
        while not part:
            limits = (b"WITHSCORES", b"LIMIT", offset, ENTRIES_AT_ONCE)
            reply = await calls.ask(b"ZREVRANGEBYSCORE", key, top, b"-inf", *limits)
            if not reply:
                return
            offset += len(reply) // 2
            names = (name.decode("ascii", "replace") for name in reply[::2])
            met = [Position(int(float(score)), name) for name, score in zip(names, reply[1::2], strict=True)]
            part = [entry for entry in met if is_session_id(entry.session) and (after is None or entry < after)]
        after = part[-1]
        yield part
