"""The store on a Redis or Valkey server: the port's methods as scripts and reads."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.core.commits import Answer, Commit, CommitReply
from orchestrator.core.ids import is_session_id
from orchestrator.core.intents import Intent, IntentReply
from orchestrator.core.paging import Position
from orchestrator.core.session import Checkpoint, KnownId, OpenId, Record, SessionPolicy, WorkerAddress
from orchestrator.ports import Raised, StoreFacts
from orchestrator.stores.commit_rules import check_commit
from orchestrator.stores.keys import CONTENT_ID_BYTES, index_key_of, session_keys, spent_key, tenant_key
from orchestrator.stores.limits import INLINE_BYTES_MAX, StoreLimits
from orchestrator.stores.redis import facts, index, intents, listing, opening
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.commits import CommitLine
from orchestrator.stores.redis.errors import damaged, translated
from orchestrator.stores.redis.opening import NONCE_BYTES
from orchestrator.stores.redis.records import (
    known_ids_of,
    numbered,
    record_of,
    split_references,
    worker_text,
)
from orchestrator.stores.redis.wire import CALL_DEADLINE_S, Command, connections, pack, run

PUT_BYTES_MAX: Final = 1024 * 1024
"""Chunks in one call."""

CHUNKS_AT_ONCE: Final = 16
ENTRIES_AT_ONCE: Final = 32
"""Read in one call."""


class RedisStore:
    """An adapter of `orchestrator.ports.Store`. `on_batch` hears how many commits went together."""

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        limits: StoreLimits | None = None,
        deadline_s: float = CALL_DEADLINE_S,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._limits = limits or StoreLimits()
        pool = connections(url, password)
        self._calls = Calls(pool, deadline_s)
        self._line = CommitLine(pool, deadline_s, on_batch)
        kept = self._limits
        self._kept = (CONTENT_ID_BYTES, kept.ids_kept, int(kept.ids_kept_s), kept.journal_kept, kept.generations_kept)

    async def facts(self) -> StoreFacts:
        """Ask the server what it is."""
        return facts.read(await self._calls.try_all(facts.ASK)).port

    # --- sessions -----------------------------------------------------------------------------------------------

    async def create(self, session: str, policy: SessionPolicy, opened: OpenId | None = None) -> Record:
        """A new session, or the one that this `open` opened before; an id in use is a `ValueError`."""
        return await opening.create(self._calls, self._limits, session, policy, opened)

    async def read(self, session: str) -> Record | None:
        """The record as it is now."""
        if not is_session_id(session):
            return None
        return record_of(session, await self._calls.ask(b"HGETALL", session_keys(session).record))

    async def raise_generation(self, session: str, seen: int, owner: str, deadline_s: float) -> Raised | None:
        """Compare-and-set; asked twice with the same nonce, it raises once."""
        nonce = secrets.token_hex(NONCE_BYTES)
        arguments = (seen, owner, int(deadline_s * 1000), nonce)
        generation = await self._calls.run("raise", (session_keys(session).record,), *arguments)
        return None if generation is None else Raised(int(generation), nonce)

    async def publish(self, session: str, raised: Raised, worker: WorkerAddress | None) -> bool:
        """Make the worker's address known, if the replacement is still the caller's."""
        arguments = (raised.generation, raised.nonce, worker_text(worker))
        return bool(await self._calls.run("publish", (session_keys(session).record,), *arguments))

    async def touch(self, sessions: Sequence[str]) -> None:
        """`seen_at` is now."""
        await index.touch(self._calls, sessions)

    async def end(self, session: str) -> None:
        """Close it; the record says so for a while."""
        keys, record = session_keys(session), await self.read(session)
        arguments = (session, int(self._limits.tombstone_s * 1000), CONTENT_ID_BYTES)
        commands: list[Command] = [run("end", keys, arguments), (b"ZREM", index_key_of(session), session)]
        if record is not None:
            commands.append((b"ZREM", tenant_key(record.policy.tenant), session))
        await self._calls.ask_all(commands, "end")

    def sessions(self) -> AsyncIterator[Record]:
        """All records that are open."""
        return index.open_records(self._calls, self._limits.index_grace_s)

    async def sessions_of(
        self, tenant: str, after: Position | None, count: int
    ) -> tuple[Sequence[Record], Position | None]:
        """A page of a tenant's open records, the newest first."""
        return await listing.page(self._calls, tenant, after, count, self._limits.index_grace_s)

    # --- commits ------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> CommitReply:
        """The one script; what is asked twice is answered as it was answered first, or as `DUP`."""
        check_commit(commit)
        chunks = commit.chunks
        if chunks and sum(len(data) for _, data in chunks) > INLINE_BYTES_MAX:
            await self._put(commit.session, chunks)
            chunks = ()
        reply, durable = await self._line.submit(pack(self._commit_command(commit, chunks)))
        if reply == b"OK":
            return CommitReply(Answer.OK, durable)
        return _answered(commit.session, reply, durable)

    def _commit_command(self, commit: Commit, chunks: Sequence[tuple[bytes, bytes]]) -> Command:
        arguments: list[bytes | str | int] = [
            commit.generation,
            commit.nonce,
            commit.base_etag,
            commit.etag,
            commit.entries[0].seq,
            commit.last_event,
            commit.manifest,
            b"".join(commit.references),
            *self._kept,
            len(chunks),
        ]
        for chunk in chunks:
            arguments += chunk
        for entry in commit.entries:
            arguments += (entry.request_id, entry.body_hash, entry.blob)
        return run("commit", session_keys(commit.session)[:9], arguments)

    async def intend(self, wanted: Sequence[Intent]) -> Sequence[IntentReply]:
        """In the pipeline of the next commits."""
        return await intents.intend(self._line, wanted, self._limits.intents_kept)

    async def withdraw(self, wanted: Sequence[Intent]) -> None:
        """Likewise."""
        await intents.withdraw(self._line, wanted)

    async def _put(self, session: str, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        for part in _parts(chunks):
            await self._calls.ask_all([_put_command(session, part)], "put")

    # --- reads --------------------------------------------------------------------------------------------------

    async def checkpoint(self, session: str) -> Checkpoint | None:
        """The last committed state."""
        fields = (b"seq", b"generation", b"manifest", b"references")
        seq, generation, manifest, references = await self._calls.ask(b"HMGET", session_keys(session).state, *fields)
        if seq is None:
            return None
        try:
            return Checkpoint(int(seq), int(generation), bytes(manifest), split_references(session, references))
        except (ValueError, TypeError):
            raise damaged(f"the checkpoint of {session}") from None

    async def chunks(self, session: str, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Sealed chunks by content id; those absent are left out."""
        found: dict[bytes, bytes] = {}
        key = session_keys(session).chunks
        for at in range(0, len(references), CHUNKS_AT_ONCE):
            part = references[at : at + CHUNKS_AT_ONCE]
            replies = await self._calls.ask(b"HMGET", key, *part)
            found.update((item, data) for item, data in zip(part, replies, strict=True) if data is not None)
        return found

    async def known_ids(self, session: str) -> Sequence[KnownId]:
        """The id table, oldest first."""
        return known_ids_of(session, await self._calls.ask(b"HGETALL", session_keys(session).ids))

    async def outcome(self, session: str, request_id: str) -> tuple[int, bytes] | None:
        """Seq and sealed entry that an id ended with."""
        keys = session_keys(session)
        reply = await self._calls.run("outcome", (keys.ids, keys.journal), request_id)
        return None if reply is None else numbered(session, reply)

    async def journal(self, session: str, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """Sealed entries that are kept, in order."""
        keys = session_keys(session)
        newest = int(await self._calls.ask(b"HGET", keys.record, b"seq") or 0)
        wanted = range(max(1, first, newest - self._limits.journal_kept + 1), min(last, newest) + 1)
        found: list[tuple[int, bytes]] = []
        for at in range(0, len(wanted), ENTRIES_AT_ONCE):
            part = wanted[at : at + ENTRIES_AT_ONCE]
            blobs = await self._calls.ask(b"HMGET", keys.journal, *part)
            found += [(seq, blob) for seq, blob in zip(part, blobs, strict=True) if blob is not None]
        return found

    # --- upkeep -------------------------------------------------------------------------------------------------

    async def spend(self, nonce: str, ttl_s: int) -> bool:
        """Use a nonce up; True the first time. The value tells our own repetition from another's use of it."""
        mine = secrets.token_hex(NONCE_BYTES).encode("ascii")
        found = await self._calls.ask(b"SET", spent_key(nonce), mine, b"NX", b"EX", ttl_s, b"GET")
        return found is None or found == mine

    async def sweep_chunks(self) -> int:
        """Delete chunks that no state has referred to for `chunk_grace_s`; how many they were."""
        return await index.sweep_chunks(self._calls, self._limits.chunk_grace_s)

    async def close(self) -> None:
        """Send what waits, then release connections."""
        await self._line.close()
        await self._calls.close()


def _put_command(session: str, chunks: Sequence[tuple[bytes, bytes]]) -> Command:
    keys = session_keys(session)
    arguments = [part for chunk in chunks for part in chunk]
    return run("put", (keys.chunks, keys.counts, keys.uncounted, keys.members), arguments)


def _parts(chunks: Sequence[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
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


def _answered(session: str, reply: Any, durable: str) -> CommitReply:
    if isinstance(reply, Exception):
        raise translated(reply)
    try:
        answer = Answer(reply[0].decode("ascii"))
        if answer is Answer.DUP:
            stored = tuple((int(seq), blob) for seq, blob in zip(reply[3::2], reply[4::2], strict=True))
            return CommitReply(answer, durable, stored, int(reply[1]), reply[2].decode("ascii"))
        if answer is Answer.GAP:
            return CommitReply(answer, seq=int(reply[1]), etag=reply[2].decode("ascii"))
        return CommitReply(answer, missing=tuple(reply[1:]))
    except (AttributeError, IndexError, TypeError, ValueError):
        raise damaged(f"the answer to a commit of {session}") from None
