"""A real server: an `open` that begins with a state, whose first try stopped half-way, or is slow."""

import asyncio
import dataclasses
import secrets

import pytest

from orchestrator.core.session import OpenId, Seed, Status
from orchestrator.stores.keys import opened_keys, session_keys
from orchestrator.stores.limits import StoreLimits
from replwire.errors import WireError
from support.commits import POLICY, Writer, chunk, entry, fresh_session, opened, seed_of
from support.stores import connected

pytestmark = pytest.mark.redis

OPENED = OpenId("acme", "ann", "o", b"h" * 32)


async def parent_of(store) -> Writer:
    """A session with a state."""
    writer = await opened(store)
    await writer.commit(chunks=[chunk(b"state")])
    return writer


async def fork(store, parent: Writer, session: str, opened_by: OpenId | None = OPENED):
    """Its last state, for this session."""
    seed = seed_of(await parent.state())
    return await store.fork(parent.session, seed.seq, session, POLICY, seed, opened_by)


def claimed(server, session: str, ago_ms: int) -> None:
    """The id is of a session that nobody has made."""
    words = server.command("TIME").split(b"\r\n")
    at = int(words[2]) * 1000 - ago_ms
    key, order = opened_keys(OPENED.tenant, OPENED.subject)
    server.command("HSET", key, OPENED.request_id, b"%d %b %b" % (at, session.encode(), OPENED.body_hash))
    server.command("ZADD", order, str(at), OPENED.request_id)


async def test_whoever_is_slow_finds_its_session_buried(server):
    """The next one to come makes its own, and the first one never makes a second."""
    async with connected(server.url) as store:
        parent = await parent_of(store)
        slow, quick = fresh_session(parent.session), fresh_session(parent.session)
        claimed(server, slow, 6000)
        assert (await fork(store, parent, quick)).session == quick
        with pytest.raises(ValueError, match="in use"):
            await fork(store, parent, slow, None)
        assert (await store.read(slow)).status is Status.CLOSED
        assert (await fork(store, parent, fresh_session(parent.session))).session == quick
        assert {record.session async for record in store.sessions()} == {parent.session, quick}


async def test_one_that_was_made_at_the_last_moment_is_found(server):
    """However old the claim is."""
    async with connected(server.url) as store:
        parent = await parent_of(store)
        first = fresh_session(parent.session)
        await fork(store, parent, first, None)
        claimed(server, first, 60_000)
        assert (await fork(store, parent, fresh_session(parent.session))).session == first


async def test_many_take_over_at_once_and_one_is_first(server):
    """All of them get its session."""
    async with connected(server.url) as store:
        parent = await parent_of(store)
        claimed(server, fresh_session(parent.session), 6000)
        made = await asyncio.gather(*(fork(store, parent, fresh_session(parent.session)) for _ in range(8)))
        assert len({record.session for record in made}) == 1
        assert len([record async for record in store.sessions()]) == 2


async def test_one_that_is_being_made_is_waited_for(server):
    """It comes; or it does not, and the caller is told to ask again."""
    async with connected(server.url, limits=StoreLimits(opening_s=600)) as store:
        parent = await parent_of(store)
        first = fresh_session(parent.session)
        claimed(server, first, 0)
        second = asyncio.create_task(fork(store, parent, fresh_session(parent.session)))
        await fork(store, parent, first, None)
        assert (await second).session == first
        await store.end(first)
        server.command("DEL", *opened_keys(OPENED.tenant, OPENED.subject))
        claimed(server, fresh_session(parent.session), 0)
        with pytest.raises(WireError) as caught:
            await fork(store, parent, fresh_session(parent.session))
        assert caught.value.code == "busy"
        assert caught.value.retry_after_ms


async def test_a_repeated_plant_sends_its_history_anew(server):
    """What an earlier try left is not in it; and a history of several parts is whole and in order."""
    async with connected(server.url) as store:
        session, data = fresh_session(), chunk(b"data")
        await store.put(session, [data])
        absent = Seed(1, "e", b"manifest", (chunk(b"absent")[0],))
        assert await store.plant(session, POLICY, absent, [entry(1, "of the earlier try")]) is None
        entries = [dataclasses.replace(entry(seq), blob=secrets.token_bytes(9_000)) for seq in range(1, 301)]
        assert (await store.plant(session, POLICY, Seed(300, "e", b"manifest", (data[0],)), entries)).seq == 300
        assert [row.request_id for row in await store.known_ids(session)] == [one.request_id for one in entries]
        assert [blob for _, blob in await store.journal(session, 1, 300)] == [one.blob for one in entries]
        assert server.command("LLEN", session_keys(session).order) == b":300\r\n"
