"""Every store: the same `open` is the same session, through whichever front door."""

import asyncio
import dataclasses
import secrets

import pytest

from orchestrator.core.session import OpenId, Status
from replwire.errors import WireError
from support.commits import POLICY, fresh_session


@pytest.fixture
def opened():
    """The id of an `open` of a principal that has opened nothing yet."""
    return OpenId("acme", secrets.token_hex(8), "o", b"h" * 32)


async def test_the_same_open_gives_the_same_session(store, opened):
    """As it is now; its second id is never used."""
    first, second = fresh_session(), fresh_session()
    made = await store.create(first, POLICY, opened)
    await store.raise_generation(first, 0, "front", 30.0)
    again = await store.create(second, POLICY, opened)
    assert (made.session, again.session, again.generation) == (first, first, 1)
    assert await store.read(second) is None


async def test_of_many_at_once_one_decides(store, opened):
    """All of them get its session."""
    made = await asyncio.gather(*(store.create(fresh_session(), POLICY, opened) for _ in range(8)))
    assert len({record.session for record in made}) == 1


async def test_another_body_is_a_conflict_and_another_principal_another_id(store, opened):
    """Also for a tenant of the same subject; and a hash may hold any bytes."""
    first = fresh_session()
    await store.create(first, POLICY, opened)
    with pytest.raises(WireError) as caught:
        await store.create(fresh_session(), POLICY, dataclasses.replace(opened, body_hash=b"\n\0" * 16))
    assert caught.value.code == "conflict"
    others = [dataclasses.replace(opened, tenant="b"), dataclasses.replace(opened, subject=opened.subject + "b")]
    others.append(dataclasses.replace(opened, request_id="p", body_hash=b"\n\0" * 16))
    for other in others:
        session = fresh_session()
        assert (await store.create(session, POLICY, other)).session == session
        assert (await store.create(fresh_session(), POLICY, other)).session == session


async def test_a_session_that_was_closed_is_told_as_closed(store, opened):
    """As long as its record says so."""
    session = fresh_session()
    await store.create(session, POLICY, opened)
    await store.end(session)
    again = await store.create(fresh_session(), POLICY, opened)
    assert (again.session, again.status) == (session, Status.CLOSED)


async def test_an_open_that_was_cut_off_is_made_whole(make_store, opened):
    """The id is known and its session is not: the next `open` makes that one."""
    store, session = make_store(tombstone_s=0), fresh_session()
    await store.create(session, POLICY, opened)
    await store.end(session)
    await asyncio.sleep(0.01)
    assert await store.read(session) is None
    assert (await store.create(fresh_session(), POLICY, opened)).session == session
    assert (await store.read(session)).status is Status.OPEN


async def test_ids_are_forgotten_in_time_and_bounded(make_store, opened):
    """The oldest first."""
    store = make_store(opened_kept=3)
    ids = [dataclasses.replace(opened, request_id=f"o{number}") for number in range(6)]
    made = []
    for item in ids:
        made.append((await store.create(fresh_session(), POLICY, item)).session)
        await asyncio.sleep(0.002)
    assert (await store.create(fresh_session(), POLICY, ids[5])).session == made[5]
    assert (await store.create(fresh_session(), POLICY, ids[3])).session == made[3]
    assert (await store.create(fresh_session(), POLICY, ids[0])).session != made[0]
    forgetful = make_store(opened_kept_s=0.001)
    first = (await forgetful.create(fresh_session(), POLICY, dataclasses.replace(opened, subject="f"))).session
    await asyncio.sleep(0.01)
    again = (await forgetful.create(fresh_session(), POLICY, dataclasses.replace(opened, subject="f"))).session
    assert again != first
