"""The index of open sessions: going through it, keeping it true, and the sweep of chunks that follows it.

A session is put into it before its record is made and taken out after its end, so a crash in between leaves an entry
without a record; going through it drops such entries, and a touch puts back what should be there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

import structlog

from orchestrator.core.ids import is_session_id, lineage_of
from orchestrator.core.session import Record, Status
from orchestrator.stores.keys import INDEX_SHARDS, index_key, index_key_of, session_keys
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.objects import Objects
from orchestrator.stores.redis.records import record_of
from orchestrator.stores.redis.wire import Command, run
from replwire.errors import WireError

RECORDS_AT_ONCE: Final = 100
"""Records read, touched or swept in one call."""

CONDEMNED_AT_ONCE: Final = 64
"""Chunks deleted in one script, so that no commit waits long."""

LOOKED_AT_AT_ONCE: Final = 512
"""Chunks of which one script asks whether anything refers to them."""

_log = structlog.get_logger("bascule.store")


async def touch(calls: Calls, sessions: Sequence[str], linked: Collection[str]) -> None:
    """`seen_at` is now for those that are open, and `linked_at` for those linked; and the index has them."""
    linked = frozenset(linked)
    for at in range(0, len(sessions), RECORDS_AT_ONCE):
        part = sessions[at : at + RECORDS_AT_ONCE]
        seen = await calls.ask_all(
            [run("touch", (session_keys(name).record,), (int(name in linked),)) for name in part], "touch"
        )
        met = [(session, now) for session, now in zip(part, seen, strict=True) if now is not None]
        put_back: list[Command] = [(b"ZADD", index_key_of(session), now, session) for session, now in met]
        if put_back:
            await calls.ask_all(put_back)


async def open_records(calls: Calls, grace_s: float) -> AsyncIterator[Record]:
    """All open records. A damaged one is logged and left out: the others are served."""
    time = await calls.ask(b"TIME")
    stale_ms = (int(time[0]) - grace_s) * 1000
    for shard in range(INDEX_SHARDS):
        async for part in entries(calls, index_key(shard)):
            names = list(part)
            replies = await calls.ask_all([(b"HGETALL", session_keys(name).record) for name in names])
            gone = []
            for name, reply in zip(names, replies, strict=True):
                record = readable(name, reply)
                if record is not None and record.status is Status.OPEN:
                    yield record
                elif record is not None or (not reply and part[name] < stale_ms):
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


async def entries(calls: Calls, key: bytes) -> AsyncIterator[dict[str, float]]:
    """Sessions of one part of the index, or of a list, with their time (ms), each once, some at a time."""
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


async def sweep_chunks(calls: Calls, grace_s: float, objects: Objects | None) -> int:
    """Delete what nothing has referred to for the grace, find what was lost sight of, and delete the objects of what is
    gone; how many chunks it was."""
    swept: set[str] = set()
    deleted = 0
    for shard in range(INDEX_SHARDS):
        async for part in entries(calls, index_key(shard)):
            due = {lineage_of(name): name for name in part if lineage_of(name) not in swept}
            swept.update(due)
            deleted += await _condemn(calls, list(due.values()), int(grace_s * 1000))
            if objects is not None:
                await objects.delete_garbage(due.values())
    return deleted


async def _condemn(calls: Calls, sessions: Sequence[str], grace_ms: int) -> int:
    deleted = 0
    while sessions:
        replies = await calls.ask_all([_condemn_command(session, grace_ms) for session in sessions], "condemn")
        deleted += sum(int(reply[1]) for reply in replies)
        done = [(session, reply) for session, reply in zip(sessions, replies, strict=True)]
        sessions = [session for session, reply in done if reply[0] >= CONDEMNED_AT_ONCE]
        for session, reply in done:
            if reply[0] < CONDEMNED_AT_ONCE and reply[2]:
                await _reclaim(calls, session)
    return deleted


def _condemn_command(session: str, grace_ms: int) -> Command:
    keys = session_keys(session)
    arguments = (grace_ms, CONDEMNED_AT_ONCE)
    return run("condemn", (keys.chunks, keys.counts, keys.uncounted, keys.garbage), arguments)


async def _reclaim(calls: Calls, session: str) -> None:
    """The numbers of a lineage do not agree: chunks that nothing refers to begin to wait for their end.

    Its content ids are read with one command, without the chunks, which HSCAN would bring along; they are looked at in
    pieces.
    """
    keys, found = session_keys(session), 0
    items = await calls.ask(b"HKEYS", keys.chunks)
    for at in range(0, len(items), LOOKED_AT_AT_ONCE):
        part = items[at : at + LOOKED_AT_AT_ONCE]
        found += await calls.run("reclaim", (keys.chunks, keys.counts, keys.uncounted), *part)
    if found:
        _log.warning("chunks reclaimed", lineage=lineage_of(session), count=found)
