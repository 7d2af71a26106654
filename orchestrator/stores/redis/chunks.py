"""Chunks on their way into the store and out of it: small ones in the server, large ones where a blob store is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from orchestrator.stores.keys import session_keys
from orchestrator.stores.limits import INLINE_BYTES_MAX, StoreLimits
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.objects import Objects
from orchestrator.stores.redis.wire import CONNECTIONS_MAX, Argument

PUT_BYTES_MAX: Final = 1024 * 1024
"""Chunks in one call."""

CHUNKS_AT_ONCE: Final = 16
"""Read in one call."""

READS_AT_ONCE: Final = CONNECTIONS_MAX // 2
"""Calls that read chunks, of all sessions: the others' calls find a connection as well. More would only help where the
server is far away: one that is near is busy with a single one."""

Chunks = Sequence[tuple[bytes, bytes]]


class ChunkShelf:
    """Puts and reads sealed chunks. `objects` is None where all of them lie in the server."""

    def __init__(self, calls: Calls, limits: StoreLimits, objects: Objects | None, object_bytes_min: int) -> None:
        self._calls = calls
        self._limits = limits
        self._objects = objects
        self._object_bytes_min = object_bytes_min
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    async def send_ahead(self, session: str, chunks: Chunks) -> Chunks:
        """Put what does not travel with its commit; what is left does."""
        large, small = self._parted(chunks)
        if sum(len(data) for _, data in small) > INLINE_BYTES_MAX:
            large, small = chunks, ()
        if large:
            await self.put(session, large, nursery=False)
        return small

    async def put(self, session: str, chunks: Chunks, *, nursery: bool) -> None:
        """Put them; with `nursery` also for a lineage that has no session yet, where they stay for the grace."""
        # Each once: a second object of the same content would be one too many.
        large, small = self._parted(tuple(dict(chunks).items()))
        nursery_ms = int(self._limits.chunk_grace_s * 1000) if nursery else 0
        if large and self._objects is not None:
            await self._put_objects(self._objects, session, large, nursery_ms)
        for part in _parts(small):
            await self._put(session, part, nursery_ms, 0)

    async def _put_objects(self, objects: Objects, session: str, chunks: Chunks, nursery_ms: int) -> None:
        """Durable first, then named: whoever finds a name finds the object."""
        written = await objects.write(session, chunks)
        unused = await self._put(session, written.markers, nursery_ms, written.latest_ms)
        await objects.discard(marker for item, marker in written.markers if unused is None or item in unused)

    async def _put(self, session: str, chunks: Chunks, nursery_ms: int, latest_ms: int) -> frozenset[bytes] | None:
        """The content ids that are there as another object; None when the lineage has no session any more."""
        keys = session_keys(session)
        arguments: list[Argument] = [nursery_ms, latest_ms]
        for chunk in chunks:
            arguments += chunk
        found = await self._calls.run("put", (keys.chunks, keys.counts, keys.uncounted, keys.members), *arguments)
        return None if found is None else frozenset(found)

    def _parted(self, chunks: Chunks) -> tuple[Chunks, Chunks]:
        """Those that become objects, and the others."""
        if self._objects is None:
            return (), chunks
        large = [chunk for chunk in chunks if len(chunk[1]) >= self._object_bytes_min]
        return (large, [chunk for chunk in chunks if len(chunk[1]) < self._object_bytes_min]) if large else ((), chunks)

    async def read(self, session: str, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """By content id, over several connections at once; those absent are left out."""
        parts = (references[at : at + CHUNKS_AT_ONCE] for at in range(0, len(references), CHUNKS_AT_ONCE))
        read: dict[bytes, bytes] = {}
        for part in await asyncio.gather(*(self._read(session_keys(session).chunks, part) for part in parts)):
            read |= part
        return read

    async def _read(self, key: bytes, part: Sequence[bytes]) -> dict[bytes, bytes]:
        async with self._reads:
            replies = await self._calls.ask(b"HMGET", key, *part)
        found = {item: data for item, data in zip(part, replies, strict=True) if data is not None}
        return found if self._objects is None else await self._objects.resolved(found)


def _parts(chunks: Chunks) -> Iterator[list[tuple[bytes, bytes]]]:
    part: list[tuple[bytes, bytes]] = []
    size = 0
    for chunk in chunks:
        if part and size + len(chunk[1]) > PUT_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(chunk)
        size += len(chunk[1])
    if part:
        yield part
