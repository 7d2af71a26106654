"""The store on a Redis or Valkey server: the port's methods as scripts and reads."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from orchestrator.core.commits import Commit, CommitReply, Entry
from orchestrator.core.ids import is_session_id
from orchestrator.core.intents import Intent, IntentReply
from orchestrator.core.paging import Position
from orchestrator.core.session import (
    Checkpoint,
    KeptStates,
    KnownId,
    OpenId,
    Pin,
    Record,
    Seed,
    SessionPolicy,
    WorkerAddress,
)
from orchestrator.ports import BlobStore, Raised, StoreFacts
from orchestrator.stores.commit_rules import check_chunks, check_commit, check_fork, check_rewind, check_seed
from orchestrator.stores.keys import CONTENT_ID_BYTES, index_key_of, session_keys, spent_key, tenant_key
from orchestrator.stores.limits import OBJECT_BYTES_MIN, StoreLimits
from orchestrator.stores.redis import committing, facts, index, intents, listing, opening, states
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.chunks import ChunkShelf
from orchestrator.stores.redis.commits import CommitLine
from orchestrator.stores.redis.objects import Objects
from orchestrator.stores.redis.opening import NONCE_BYTES
from orchestrator.stores.redis.records import known_ids_of, numbered, record_of, worker_text
from orchestrator.stores.redis.torn_end import TornEnd
from orchestrator.stores.redis.wire import CALL_DEADLINE_S, Command, connections, pack, run

ENTRIES_AT_ONCE: Final = 32
"""Read in one call."""

_LAST_OF_LINEAGE: Final = 2


class RedisStore:
    """An adapter of `orchestrator.ports.Store`. `on_batch` hears how many commits went together.

    With `blobs`, chunks of `object_bytes_min` and more lie there, and the server holds their names. With `is_guest` the
    server is only looked at: its append-only file stays as it is.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        limits: StoreLimits | None = None,
        deadline_s: float = CALL_DEADLINE_S,
        on_batch: Callable[[int], None] | None = None,
        blobs: BlobStore | None = None,
        object_bytes_min: int = OBJECT_BYTES_MIN,
        is_guest: bool = False,
    ) -> None:
        self._limits = limits or StoreLimits()
        pool = connections(url, password)
        self._calls = Calls(pool, deadline_s)
        self._line = CommitLine(pool, deadline_s, on_batch)
        self._objects = Objects(blobs, self._calls, self._limits) if blobs is not None else None
        self._shelf = ChunkShelf(self._calls, self._limits, self._objects, object_bytes_min)
        self._torn_end = None if is_guest else TornEnd(self._calls)
        self._kept = committing.kept_arguments(self._limits, has_objects=blobs is not None)

    async def facts(self) -> StoreFacts:
        """Ask the server what it is; after its start, see that its append-only file is written anew."""
        found = facts.read(await self._calls.try_all(facts.ASK))
        if self._torn_end is None:
            return found.port
        return replace(found.port, warnings=(*found.port.warnings, *await self._torn_end.look(found)))

    # --- sessions -----------------------------------------------------------------------------------------------

    async def create(
        self, session: str, policy: SessionPolicy, opened: OpenId | None = None, *, sessions_max: int | None = None
    ) -> Record:
        """A new session, or the one that this `open` opened before; an id in use is a `ValueError`."""
        return await opening.create(self._calls, self._limits, session, policy, opened, sessions_max)

    async def fork(
        self, parent: str, at: int | str, session: str, policy: SessionPolicy, seed: Seed,
        opened: OpenId | None = None, *, sessions_max: int | None = None,
    ) -> Record | None:  # fmt: skip
        """A sibling that begins with a state of the parent's."""
        check_fork(parent, session, seed)
        return await opening.fork(self._calls, self._limits, parent, at, session, policy, seed, opened, sessions_max)

    async def put(self, session: str, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """Chunks for a session that is going to be planted."""
        check_chunks(chunks)
        await self._shelf.put(session, chunks, nursery=True)

    async def plant(
        self,
        session: str,
        policy: SessionPolicy,
        seed: Seed,
        entries: Sequence[Entry] = (),
        opened: OpenId | None = None,
        *,
        sessions_max: int | None = None,
    ) -> Record | None:
        """A session that begins with a state and a journal from elsewhere."""
        check_seed(seed, entries)
        calls, limits = self._calls, self._limits
        return await opening.plant(calls, limits, session, policy, seed, entries, opened, sessions_max)

    async def read(self, session: str) -> Record | None:
        """The record as it is now."""
        if not is_session_id(session):
            return None
        return record_of(session, await self._calls.ask(b"HGETALL", session_keys(session).record))

    async def raise_generation(
        self, session: str, seen: int, owner: str, deadline_s: float, cause: str = "",
        *, vacant: bool = False, above: int = 0,
    ) -> Raised | None:  # fmt: skip
        """Compare-and-set; asked twice with the same nonce, it raises once. The first one ends no generation, and so it
        need not be as durable as a commit."""
        nonce = secrets.token_hex(NONCE_BYTES)
        keys, arguments = (
            (session_keys(session).record,),
            (seen, owner, int(deadline_s * 1000), nonce, cause, int(vacant), above),
        )
        ask = self._line.run if seen else self._calls.run
        generation = await ask("raise", keys, *arguments)
        return None if generation is None else Raised(int(generation), nonce)

    async def publish(self, session: str, raised: Raised, worker: WorkerAddress | None) -> bool:
        """Make the worker's address known, if the replacement is still the caller's."""
        arguments = (raised.generation, raised.nonce, worker_text(worker))
        return bool(await self._calls.run("publish", (session_keys(session).record,), *arguments))

    async def now(self) -> float:
        """The server's clock."""
        seconds, micros = await self._calls.ask(b"TIME")
        return int(seconds) + int(micros) / 1e6

    async def park(self, session: str, seen: Raised, seq: int, until: float) -> bool:
        """The worker agreed to end; asked twice with the same nonce, it raises once, and as durably as `raise` does."""
        arguments = (seen.generation, seen.nonce, seq, secrets.token_hex(NONCE_BYTES), int(until * 1000))
        return bool(await self._line.run("park", (session_keys(session).record,), *arguments))

    async def touch(self, sessions: Sequence[str], linked: Collection[str] = ()) -> None:
        """`seen_at` is now, and `linked_at` where there is a link."""
        await index.touch(self._calls, sessions, linked)

    async def end(self, session: str) -> None:
        """Close it; the record says so for a while."""
        keys, record = session_keys(session), await self.read(session)
        arguments = (session, int(self._limits.tombstone_s * 1000), CONTENT_ID_BYTES)
        commands: list[Command] = [run("end", keys, arguments), (b"ZREM", index_key_of(session), session)]
        if record is not None:
            commands.append((b"ZREM", tenant_key(record.policy.tenant), session))
        replies = await self._calls.ask_all(commands, "end")
        if replies[0] == _LAST_OF_LINEAGE and self._objects is not None:
            self._objects.lineage_ended(session)

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
        chunks = await self._shelf.send_ahead(commit.session, commit.chunks) if commit.chunks else ()
        reply, durable = await self._line.submit(pack(committing.command(commit, chunks, self._kept)))
        return committing.answered(commit.session, reply, durable)

    async def rewind(self, commit: Commit, to: int, raised: Raised, owner: str, deadline_s: float) -> CommitReply:
        """The same script; what is asked twice is answered as it was answered first."""
        check_rewind(commit, raised)
        rewinding = committing.rewind_arguments(to, raised, owner, deadline_s)
        reply, durable = await self._line.submit(pack(committing.command(commit, (), self._kept, rewinding)))
        return committing.answered(commit.session, reply, durable)

    async def intend(self, wanted: Sequence[Intent]) -> Sequence[IntentReply]:
        """In the pipeline of the next commits."""
        return await intents.intend(self._line, wanted, self._limits.intents_kept)

    async def withdraw(self, wanted: Sequence[Intent]) -> None:
        """Likewise."""
        await intents.withdraw(self._line, wanted)

    # --- states -------------------------------------------------------------------------------------------------

    async def checkpoint(self, session: str, at: int | str | None = None) -> Checkpoint | None:
        """The last committed state, or one that is kept."""
        return await states.checkpoint(self._calls, session, at)

    async def kept_states(self, session: str) -> KeptStates:
        """Which states there are to go back to."""
        return await states.kept(self._calls, session)

    async def pin(self, session: str, pin: Pin) -> bool:
        """Keep a state under a name; what the name kept before is let go."""
        return await states.pin(self._calls, session, pin, self._limits.pins_max)

    async def unpin(self, session: str, name: str) -> bool:
        """Let go of a name."""
        return await states.unpin(self._calls, session, name)

    async def chunks(self, session: str, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Sealed chunks by content id; those absent are left out."""
        return await self._shelf.read(session, references)

    # --- the journal --------------------------------------------------------------------------------------------

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
        """Delete chunks that nothing has referred to for `chunk_grace_s`; how many they were."""
        swept = await index.sweep_chunks(self._calls, self._limits.chunk_grace_s, self._objects)
        if self._objects is not None:
            await self._objects.sweep_strays()
        return swept

    async def close(self) -> None:
        """Send what waits, then release connections."""
        await self._line.close()
        await self._calls.close()
