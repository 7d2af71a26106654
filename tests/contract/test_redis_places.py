"""A real server: places that a crash has left, and answers that were lost while one was taken."""

import asyncio
import dataclasses

import pytest

from orchestrator.core.session import OpenId
from orchestrator.stores.keys import tenant_key
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis import opening
from replwire.errors import WireError
from support.commits import POLICY, chunk, claim, fresh_session, seed_of
from support.stores import behind_proxy, connected

pytestmark = pytest.mark.redis

GRACE_S = StoreLimits().place_grace_s


def left_behind(server, count: int = 1, *, ago_s: float = GRACE_S + 1) -> list[str]:
    """Places whose sessions were never made."""
    seconds = int(server.command("TIME").split(b"\r\n")[2])
    names = [fresh_session() for _ in range(count)]
    for name in names:
        server.command("ZADD", tenant_key(POLICY.tenant), str(int((seconds - ago_s) * 1000)), name)
    return names


def places(server) -> int:
    """How many are taken."""
    return int(server.command("ZCARD", tenant_key(POLICY.tenant))[1:])


async def refused(store, most: int) -> bool:
    """Whether one more session is refused."""
    try:
        await store.create(fresh_session(), POLICY, sessions_max=most)
    except WireError as error:
        assert error.code == "quota_exceeded"
        return True
    return False


async def test_places_of_nobody_are_free_before_anybody_is_refused(server):
    """More of them than are looked at with one call; those of sessions that are open stay."""
    async with connected(server.url) as store:
        own = [(await store.create(fresh_session(), POLICY)).session for _ in range(3)]
        left_behind(server, 250)
        assert not await refused(store, 253)
        assert places(server) == 4
        records, _ = await store.sessions_of(POLICY.tenant, None, 10)
        assert {record.session for record in records} > set(own)


async def test_a_place_of_a_session_that_is_being_made_is_taken(server):
    """However full it is; and should it have been dropped all the same, the session is in the list when it is made."""
    async with connected(server.url) as store:
        left_behind(server, ago_s=1)
        assert await refused(store, 1)
        assert places(server) == 1


async def test_looking_is_done_at_times_only(server):
    """A full list is long, and who is refused may ask again at once: it is each tenant's own."""
    async with connected(server.url) as store:
        await store.create(fresh_session(), POLICY)
        assert await refused(store, 1)
        left_behind(server)
        assert await refused(store, 2)
        other = dataclasses.replace(POLICY, tenant="other")
        server.command("ZADD", tenant_key("other"), "1", fresh_session())
        await store.create(fresh_session(), other, sessions_max=1)


async def test_the_place_of_a_closed_session_is_free_whoever_left_it(server):
    """The end was written and the list was not: a crash in between."""
    async with connected(server.url) as store:
        session = (await store.create(fresh_session(), POLICY)).session
        await store.end(session)
        server.command("ZADD", tenant_key(POLICY.tenant), "1", session)
        assert not await refused(store, 1)


async def test_two_servers_and_one_place(server):
    """Exactly one has it, however often it is tried."""
    async with connected(server.url) as one, connected(server.url) as two:
        for number in range(20):
            opened = [OpenId(POLICY.tenant, name, f"o{number}", b"h" * 32) for name in ("ann", "bob")]
            asked = [
                store.create(fresh_session(), POLICY, by, sessions_max=number + 1)
                for store, by in zip((one, two), opened, strict=True)
            ]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(answer, WireError) for answer in answers) == 1
        assert places(server) == 20


async def test_a_lost_answer_takes_one_place(server):
    """It is asked again, and finds its own; so the last place can be had."""
    async with behind_proxy(server) as (store, proxy):
        for number, opened in enumerate((OpenId(POLICY.tenant, "ann", "o", b"h" * 32), None)):
            proxy.lose_replies = 1
            await store.create(fresh_session(), POLICY, opened, sessions_max=number + 1)
            assert (proxy.lose_replies, places(server)) == (0, number + 1)
        parent = await claim(store, (await store.create(fresh_session(), POLICY)).session, 0)
        await parent.commit(chunks=[chunk(b"state")])
        seed, session = seed_of(await parent.state()), fresh_session(parent.session)
        proxy.lose_replies = 1
        made = await store.fork(parent.session, seed.seq, session, POLICY, seed, sessions_max=4)
        assert (made.session, places(server)) == (session, 4)


async def test_an_open_that_was_cut_off_holds_its_place_for_a_while(server, monkeypatch):
    """The same `open` finds it, within the quota; nobody else does before the grace is over."""
    opened = OpenId(POLICY.tenant, "ann", "o", b"h" * 32)

    async def cut_off(*_: object) -> None:
        raise ConnectionAbortedError

    async with connected(server.url) as store:
        with monkeypatch.context() as patch:
            patch.setattr(opening, "_made", cut_off)
            with pytest.raises(ConnectionAbortedError):
                await store.create(fresh_session(), POLICY, opened, sessions_max=1)
        assert places(server) == 1
        assert await refused(store, 1)
        made = await store.create(fresh_session(), POLICY, opened, sessions_max=1)
        assert (await store.read(made.session), places(server)) == (made, 1)
