"""Chunks that lie in a blob store: the server holds their objects' names, and so decides what is there.

An object is written, durably, before its name comes into the server. Every other order of events leaves an object
without a name: one that was written and never named, or whose chunk has gone. Those that a script let go are in
`garbage`; all others are found by listing, once they are old. An object's name holds when it was written, by the
server's clock, and the server refuses a name that is older than half the grace: what is listed as a stray can't become
anything else.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import structlog

from orchestrator.core.ids import RANDOM_BYTES, lineage_of, session_id
from orchestrator.ports import BlobStore
from orchestrator.stores.keys import session_keys
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.errors import damaged
from replwire.errors import WireError

TRANSFERS_AT_ONCE: Final = 16
"""Objects that are written, read or deleted at the same time by one call."""

GARBAGE_AT_ONCE: Final = 64
STRAYS_AT_ONCE: Final = 256
"""Names that are looked at with one call."""

_RANDOM_BYTES: Final = 8
_NAME: Final = re.compile(r"([a-z2-7]{16})/([0-9a-f]{64})-([0-9a-f]{12})[0-9a-f]{16}")
_MARK: Final = b"\0"

_Result = TypeVar("_Result")
_log = structlog.get_logger("bascule.store")


class Written(NamedTuple):
    """Objects that are durable, and not named yet."""

    markers: list[tuple[bytes, bytes]]
    """By content id, what goes into `chunks`."""
    latest_ms: int
    """When they may be named at the latest, by the server's clock."""


class Objects:
    """The objects of all lineages."""

    def __init__(self, blobs: BlobStore, calls: Calls, limits: StoreLimits) -> None:
        self._blobs = blobs
        self._calls = calls
        self._grace_s = limits.object_grace_s
        self._ended: set[str] = set()
        """Lineages whose last session was ended here."""
        self._list_at = 0.0

    async def write(self, session: str, chunks: Sequence[tuple[bytes, bytes]]) -> Written:
        """Each under a name that nothing has had before."""
        now_ms = await self._now_ms()
        names = [_fresh_name(session, item, now_ms) for item, _ in chunks]
        datas = (data for _, data in chunks)
        await _some_at_once(self._blobs.put, zip(names, datas, strict=True))
        markers = [(item, _MARK + name.encode()) for (item, _), name in zip(chunks, names, strict=True)]
        return Written(markers, now_ms + int(self._grace_s * 500))

    async def discard(self, markers: Iterable[bytes]) -> None:
        """They were not named; what cannot be deleted now is found by listing."""
        await self._delete([_name_of(marker) for marker in markers])

    async def resolved(self, found: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Chunks with the bytes of their objects in place of names; left out where the object has just gone."""
        named = [(item, _name_of(data)) for item, data in found.items() if data.startswith(_MARK)]
        datas = await _some_at_once(self._blobs.get, ((name,) for _, name in named))
        read = dict(zip((item for item, _ in named), datas, strict=True))
        whole = {item: read.get(item, data) for item, data in found.items()}
        return {item: data for item, data in whole.items() if data is not None}

    # --- upkeep -------------------------------------------------------------------------------------------------

    def lineage_ended(self, session: str) -> None:
        """Nothing of it is named any more; the next sweep deletes its objects."""
        self._ended.add(lineage_of(session))

    async def delete_garbage(self, sessions: Iterable[str]) -> None:
        """Of these sessions' lineages: objects whose chunks are gone."""
        keys = [session_keys(session).garbage for session in sessions]
        while keys:
            found = await self._calls.ask_all([(b"SRANDMEMBER", key, GARBAGE_AT_ONCE) for key in keys])
            due = [(key, names) for key, names in zip(keys, found, strict=True) if names]
            if not due or not await self._delete(bytes(name).decode("ascii") for _, names in due for name in names):
                return
            await self._calls.ask_all([(b"SREM", key, *names) for key, names in due])
            keys = [key for key, names in due if len(names) >= GARBAGE_AT_ONCE]

    async def sweep_strays(self) -> None:
        """Delete the objects of lineages that have ended, and, once per grace, all that are old and have no name."""
        for lineage in tuple(self._ended):
            if await self._delete([name async for name in self._blobs.names(f"{lineage}/")]):
                self._ended.discard(lineage)
        loop = asyncio.get_running_loop()
        if loop.time() < self._list_at:
            return
        deleted = 0
        async for part in _in_parts(self._blobs.names(""), STRAYS_AT_ONCE):
            strays = await self._strays(part)
            deleted += len(strays) if await self._delete(strays) else 0
        self._list_at = loop.time() + self._grace_s
        if deleted:
            _log.info("stray objects deleted", count=deleted)

    async def _strays(self, names: Sequence[str]) -> list[str]:
        """Those that are older than the grace and that no chunk names."""
        oldest_ms = await self._now_ms() - self._grace_s * 1000
        ours = [(name, found) for name in names if (found := _NAME.fullmatch(name))]
        old = [(name, found) for name, found in ours if int(found[3], 16) < oldest_ms]
        asked = [(b"HGET", _chunks_key(found[1]), bytes.fromhex(found[2])) for _, found in old]
        named = await self._calls.ask_all(asked) if asked else []
        return [name for (name, _), marker in zip(old, named, strict=True) if marker != _MARK + name.encode()]

    async def _delete(self, names: Iterable[str]) -> bool:
        """False when the blob store is away: a later sweep does it."""
        try:
            await _some_at_once(self._blobs.delete, ((name,) for name in names))
        except WireError as error:
            _log.warning("objects not deleted", cause=error.message)
            return False
        return True

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._calls.ask(b"TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


def _fresh_name(session: str, content_id: bytes, now_ms: int) -> str:
    return f"{lineage_of(session)}/{content_id.hex()}-{now_ms:012x}{secrets.token_hex(_RANDOM_BYTES)}"


def _name_of(marker: bytes) -> str:
    name = marker[1:].decode("ascii", "replace")
    if _NAME.fullmatch(name) is None:
        raise damaged("the name of an object")
    return name


def _chunks_key(lineage: str) -> bytes:
    """All sessions of a lineage share it."""
    any_session = session_id(bytes(RANDOM_BYTES), bytes(RANDOM_BYTES)).split("_")[2]
    return session_keys(f"ses_{lineage}_{any_session}").chunks


async def _some_at_once(
    call: Callable[..., Coroutine[Any, Any, _Result]], arguments: Iterable[tuple[Any, ...]]
) -> list[_Result]:
    """The results in order; a few calls at a time, and all of them have ended when the first error is raised."""
    turns = asyncio.Semaphore(TRANSFERS_AT_ONCE)

    async def take_turn(parts: tuple[Any, ...]) -> _Result:
        async with turns:
            return await call(*parts)

    results = await asyncio.gather(*map(take_turn, arguments), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def _in_parts(names: AsyncIterator[str], size: int) -> AsyncIterator[list[str]]:
    part: list[str] = []
    async for name in names:
        part.append(name)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
