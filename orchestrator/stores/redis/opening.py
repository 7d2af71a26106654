"""A session's first record: new, as a fork, or planted.

Its tenant's list gets its entry first, if there is a place for it, then the index: a crash in between leaves an entry
without a record, which is swept.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

from orchestrator.core.commits import Entry
from orchestrator.core.session import OpenId, Record, Seed, SessionPolicy
from orchestrator.stores.keys import CONTENT_ID_BYTES, index_key_of, session_keys
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis import opened_ids
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.places import Places
from orchestrator.stores.redis.records import policy_text, record_of, state_row
from orchestrator.stores.redis.states import place_of
from orchestrator.stores.redis.wire import Argument, Command, run
from replwire.errors import WireError

NONCE_BYTES: Final = 16
ENTRIES_AT_ONCE: Final = 64
"""Of a planted journal, in one call."""

ENTRIES_BYTES_MAX: Final = 1024 * 1024
"""Likewise, unless a single entry is larger."""

_BOTH: Final = ("open", "list")
_REFUSALS: Final = (b"IN_USE", b"NOT_FOUND", b"FULL", b"MISSING")


async def create(
    calls: Calls, limits: StoreLimits, session: str, policy: SessionPolicy, opened: OpenId | None,
    sessions_max: int | None,
) -> Record:  # fmt: skip
    """See `Store.create`."""
    session_keys(session)
    places = Places(calls, limits, policy.tenant, sessions_max)
    if opened is None:
        await places.take(session)
    else:
        session, found = await _claimed(calls, limits, places, session, opened)
        if found is not None:
            return found
    keys = session_keys(session)
    arguments = (session, secrets.token_hex(NONCE_BYTES), policy_text(policy))
    created = run("create", (keys.record, keys.members, keys.chunks, keys.uncounted), arguments)
    reply = await _made(calls, session, places, created, "create")
    if reply is None and opened is not None:
        reply = await calls.ask(b"HGETALL", keys.record)
    record = record_of(session, reply or ())
    if record is None:
        raise _in_use()
    return record


async def _claimed(
    calls: Calls, limits: StoreLimits, places: Places, session: str, opened: OpenId
) -> tuple[str, Record | None]:
    """The session that the id opens, which has a place, and its record, if it was made before.

    The place is asked for together with the id, so that an `open` takes no more round trips than without a quota. An
    `open` that comes again did not need it, and has it for the time of one round trip. An id that found no place is not
    let go of: whoever comes with it again finds no session, and makes the one that it names.
    """
    claim, place = await calls.ask_all([opened_ids.claiming(limits, session, opened), places.taking(session)], *_BOTH)
    if claim is not None:
        named, _ = opened_ids.claimed(claim)
        if named == session:
            await places.taken(session, place)
            return session, None
        _, reply = await calls.ask_all([places.giving_back(session), (b"HGETALL", session_keys(named).record)])
        if (found := record_of(named, reply)) is None:
            await places.take(named)
        return named, found
    await places.give_back(session)
    return opened_ids.claimed(claim)[0], None


async def fork(
    calls: Calls, limits: StoreLimits, parent: str, at: int | str, session: str, policy: SessionPolicy, seed: Seed,
    opened: OpenId | None, sessions_max: int | None,
) -> Record | None:  # fmt: skip
    """See `Store.fork`."""
    of_parent, keys = session_keys(parent), session_keys(session)
    names = (
        *(of_parent.record, of_parent.states, of_parent.pins, of_parent.state),
        *(keys.record, keys.states, keys.counts, keys.members),
    )
    references = b"".join(seed.references)
    arguments = (
        *place_of(at), seed.etag, references, session, secrets.token_hex(NONCE_BYTES), policy_text(policy),
        seed.seq, state_row(0, seed.etag, seed.manifest), limits.lineage_max, CONTENT_ID_BYTES,
    )  # fmt: skip
    places = Places(calls, limits, policy.tenant, sessions_max)
    begun = await _begun(calls, limits, session, places, opened, run("fork", names, arguments), "fork")
    if begun == b"NOT_FOUND":
        raise WireError("not_found", "that state is not kept any more", session=parent)
    return None if isinstance(begun, bytes) else begun


async def plant(
    calls: Calls, limits: StoreLimits, session: str, policy: SessionPolicy, seed: Seed, entries: Sequence[Entry],
    opened: OpenId | None, sessions_max: int | None,
) -> Record | None:  # fmt: skip
    """See `Store.plant`."""
    keys, entries = session_keys(session), entries[-limits.journal_kept :]
    await _send_history(calls, limits, session, entries)
    names = (
        *(keys.record, keys.ids, keys.order, keys.journal, keys.states),
        *(keys.chunks, keys.counts, keys.uncounted, keys.members),
    )
    arguments = (
        session, secrets.token_hex(NONCE_BYTES), policy_text(policy), seed.seq, seed.etag,
        state_row(0, seed.etag, seed.manifest), b"".join(seed.references), CONTENT_ID_BYTES, len(entries),
    )  # fmt: skip
    places = Places(calls, limits, policy.tenant, sessions_max)
    begun = await _begun(calls, limits, session, places, opened, run("plant", names, arguments), "plant")
    return None if isinstance(begun, bytes) else begun


async def _begun(
    calls: Calls, limits: StoreLimits, session: str, places: Places, opened: OpenId | None, command: Command,
    name: str,
) -> Record | bytes | None:  # fmt: skip
    """The record that a script made, or this `open` made before; or the script's refusal."""
    if opened is not None:
        found = await opened_ids.claim_alone(calls, limits, session, opened)
        if found is not None:
            return found
    try:
        await places.take(session)
    except WireError:
        if opened is not None:
            await opened_ids.let_go(calls, session, opened)
        raise
    reply = await _made(calls, session, places, command, name)
    if reply in _REFUSALS and opened is not None:
        await opened_ids.let_go(calls, session, opened)
    if reply == b"IN_USE":
        raise _in_use()
    if reply in _REFUSALS:
        await places.give_back(session)
        return bytes(reply)
    return record_of(session, reply)


async def _made(calls: Calls, session: str, places: Places, command: Command, name: str) -> Any:
    indexed = run("index", (index_key_of(session),), (session,))
    return (await calls.ask_all([indexed, places.keeping(session), command], "index", "list", name))[-1]


async def _send_history(calls: Calls, limits: StoreLimits, session: str, entries: Sequence[Entry]) -> None:
    keys, sent = session_keys(session), 0
    names = (keys.record, keys.ids, keys.order, keys.journal)
    last_of = {entry.request_id: entry.seq for entry in entries}
    for part in _parts(entries):
        arguments: list[Argument] = [int(limits.chunk_grace_s * 1000), sent]
        for entry in part:
            request_id = entry.request_id if last_of[entry.request_id] == entry.seq else ""
            arguments += (entry.seq, entry.blob, request_id, entry.body_hash)
            sent += request_id != ""
        if not await calls.run("history", names, *arguments):
            raise _in_use()


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """In order; the first one, which clears what an earlier try left, may be empty."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.blob)
        if part and (len(part) == ENTRIES_AT_ONCE or size > ENTRIES_BYTES_MAX):
            yield part
            part, size = [], len(entry.blob)
        part.append(entry)
    yield part


def _in_use() -> ValueError:
    return ValueError("the session id is in use")
