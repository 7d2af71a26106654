"""The index of open sessions: going through it, keeping it true, and the sweep of chunks that follows it.

A session is put into it before its record is made and taken out after its end, so a crash in between leaves an entry
without a record; going through it drops such entries, and a touch puts back what should be there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog

from orchestrator.core.ids import is_session_id, lineage_of
from orchestrator.core.session import Record, Status
from orchestrator.stores.keys import INDEX_SHARDS, index_key, index_key_of, session_keys
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.records import record_of
from orchestrator.stores.redis.wire import Command, run
from replwire.errors import WireError

RECORDS_AT_ONCE: Final = 100
"""Records read, touched or swept in one call."""

CONDEMNED_AT_ONCE: Final = 64
"""Chunks deleted in one script, so that no commit waits long."""

_log = structlog.get_logger("bascule.store")


async def touch(calls: Calls, sessions: Sequence[str]) -> None:
    """`seen_at` is now for those that are open, and the index has them."""
    for at in range(0, len(sessions), RECORDS_AT_ONCE):
        part = sessions[at : at + RECORDS_AT_ONCE]
        seen = await calls.ask_all([run("touch", (session_keys(session).record,)) for session in part], "touch")
        met = [(session, now) for session, now in zip(part, seen, strict=True) if now is not None]
        entries: list[Command] = [(b"ZADD", index_key_of(session), now, session) for session, now in met]
        if entries:
            await calls.ask_all(entries)


async def open_records(calls: Calls, grace_s: float) -> AsyncIterator[Record]:
    """All open records. A damaged one is logged and left out: the others are served."""
    time = await calls.ask(b"TIME")
    stale_ms = (int(time[0]) - grace_s) * 1000
    for shard in range(INDEX_SHARDS):
        async for entries in _entries(calls, index_key(shard)):
            names = list(entries)
            replies = await calls.ask_all([(b"HGETALL", session_keys(name).record) for name in names])
            gone = []
            for name, reply in zip(names, replies, strict=True):
                record = readable(name, reply)
                if record is not None and record.status is Status.OPEN:
                    yield record
                elif record is not None or (not reply and entries[name] < stale_ms):
                    gone.append(name)
            if gone:
                await calls.ask(b"ZREM", index_key(shard), *gone)


def readable(session: str, reply: Sequence[bytes]) -> Record | None:
    """The record; one that is damaged is logged and None."""
    try:
        return record_of(session, reply)
    except WireError as error:
        _log.error("record damaged", session_id=session, cause=error.message)
        return None


async def _entries(calls: Calls, key: bytes) -> AsyncIterator[dict[str, float]]:
    """Sessions of one part of the index with when they were seen (ms), each once, some at a time."""
    met: set[str] = set()
    cursor = b"0"
    while True:
        cursor, reply = await calls.ask(b"ZSCAN", key, cursor, b"COUNT", RECORDS_AT_ONCE)
        found = zip((name.decode("ascii", "replace") for name in reply[::2]), map(float, reply[1::2]), strict=True)
        fresh = {name: score for name, score in found if name not in met and is_session_id(name)}
        if fresh:
            met.update(fresh)
            yield fresh
        if cursor == b"0":
            return


async def sweep_chunks(calls: Calls, grace_s: float) -> int:
    """Delete what no state has referred to for the grace; how many chunks it was."""
    swept: set[str] = set()
    deleted = 0
    for shard in range(INDEX_SHARDS):
        async for entries in _entries(calls, index_key(shard)):
            due = {lineage_of(name): name for name in entries if lineage_of(name) not in swept}
            swept.update(due)
            deleted += await _condemn(calls, list(due.values()), int(grace_s * 1000))
    return deleted


async def _condemn(calls: Calls, sessions: Sequence[str], grace_ms: int) -> int:
    deleted = 0
    while sessions:
        replies = await calls.ask_all([_condemn_command(session, grace_ms) for session in sessions], "condemn")
        deleted += sum(int(reply[1]) for reply in replies)
        sessions = [session for session, reply in zip(sessions, replies, strict=True) if reply[0] >= CONDEMNED_AT_ONCE]
    return deleted


def _condemn_command(session: str, grace_ms: int) -> Command:
    keys = session_keys(session)
    return run("condemn", (keys.chunks, keys.counts, keys.uncounted), (grace_ms, CONDEMNED_AT_ONCE))
