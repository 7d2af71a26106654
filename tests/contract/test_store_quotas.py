"""Every store: a tenant has no more sessions open than whoever asks for one may let it have."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from orchestrator.core.session import OpenId, Seed, Status
from replwire.errors import WireError
from support.commits import POLICY, Writer, chunk, claim, fresh_session, seed_of


@pytest.fixture
def policy():
    """Of a tenant that no other test has."""
    return dataclasses.replace(POLICY, tenant=fresh_session())


@pytest.fixture
def opened(policy):
    """The id of an `open` of that tenant's."""
    return OpenId(policy.tenant, "ann", "o", b"h" * 32)


@contextlib.contextmanager
def refused(most: int, count: int) -> Iterator[None]:
    """What is inside is one session too many; who asked is told the numbers, and when to come back."""
    with pytest.raises(WireError) as caught:
        yield
    assert caught.value.code == "quota_exceeded"
    assert caught.value.details == {"limit": "sessions_max", "max": most, "open": count}
    assert caught.value.retry_after_ms


async def listed(store, policy) -> set[str]:
    """The tenant's open sessions."""
    records, _ = await store.sessions_of(policy.tenant, None, 1000)
    return {record.session for record in records}


async def with_state(store, policy) -> Writer:
    """A session of the tenant's, with a state."""
    session = fresh_session()
    await store.create(session, policy)
    writer = await claim(store, session, 0)
    await writer.commit(chunks=[chunk(b"state")])
    return writer


async def forked(store, parent: Writer, policy, opened=None, **quota):
    """Its last state, as another session of the policy's tenant."""
    seed, session = seed_of(await parent.state()), fresh_session(parent.session)
    return await store.fork(parent.session, seed.seq, session, policy, seed, opened, **quota)


async def planted(store, policy, opened=None, **quota):
    """A session that comes from elsewhere."""
    session, data = fresh_session(), chunk(b"data")
    await store.put(session, [data])
    return await store.plant(session, policy, Seed(1, "e", b"manifest", (data[0],)), (), opened, **quota)


async def test_the_last_place_is_taken_once_and_closing_frees_it(store, policy):
    """Nothing is made of what is refused: no record, no entry."""
    made = [(await store.create(fresh_session(), policy, sessions_max=2)).session for _ in range(2)]
    third = fresh_session()
    with refused(2, 2):
        await store.create(third, policy, sessions_max=2)
    assert await store.read(third) is None
    assert await listed(store, policy) == set(made)
    assert third not in {record.session async for record in store.sessions()}
    await store.end(made[0])
    assert (await store.create(third, policy, sessions_max=2)).session == third


async def test_of_many_at_once_as_many_as_there_are_places(store, policy):
    """Exactly so many, however they come: by an id or without one."""
    ids = [OpenId(policy.tenant, "ann", f"o{number}", b"h" * 32) if number % 2 else None for number in range(12)]
    asked = [store.create(fresh_session(), policy, one, sessions_max=5) for one in ids]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    codes = [answer.code for answer in answers if isinstance(answer, WireError)]
    assert codes == ["quota_exceeded"] * 7
    assert len(await listed(store, policy)) == 5


async def test_each_caller_is_compared_with_its_own_number(store, policy):
    """The count is the tenant's. One that is lower than what is open closes nothing; 0 is none; and another tenant has
    all of its own."""
    for _ in range(3):
        await store.create(fresh_session(), policy)
    for most in (0, 2, 3):
        with refused(most, 3):
            await store.create(fresh_session(), policy, sessions_max=most)
    await store.create(fresh_session(), policy, sessions_max=4)
    other = dataclasses.replace(policy, tenant=fresh_session())
    await store.create(fresh_session(), other, sessions_max=1)
    assert len(await listed(store, policy)) == 4


async def test_an_open_that_comes_again_needs_no_place(store, policy, opened):
    """It is the session that it opened, also one that was closed; another body is still a conflict."""
    session = (await store.create(fresh_session(), policy, opened, sessions_max=1)).session
    for most in (0, 1):
        assert (await store.create(fresh_session(), policy, opened, sessions_max=most)).session == session
        with pytest.raises(WireError) as caught:
            await store.create(
                fresh_session(), policy, dataclasses.replace(opened, body_hash=b"i" * 32), sessions_max=most
            )
        assert caught.value.code == "conflict"
    await store.end(session)
    await store.create(fresh_session(), policy, sessions_max=1)
    again = await store.create(fresh_session(), policy, opened, sessions_max=1)
    assert (again.session, again.status) == (session, Status.CLOSED)
    with refused(1, 1):
        await store.create(fresh_session(), policy, sessions_max=1)


async def test_an_open_that_was_refused_opens_one_when_there_is_room(store, policy, opened):
    """By the same id, once."""
    first = (await store.create(fresh_session(), policy)).session
    for _ in range(2):
        with refused(1, 1):
            await store.create(fresh_session(), policy, opened, sessions_max=1)
    await store.end(first)
    made = await store.create(fresh_session(), policy, opened, sessions_max=1)
    assert (await store.create(fresh_session(), policy, opened, sessions_max=1)).session == made.session
    assert await listed(store, policy) == {made.session}


async def test_a_fork_and_a_planted_session_take_a_place(store, policy, opened):
    """By the same id again, and again when they were refused, and nothing comes of them until there is room."""
    parent = await with_state(store, policy)
    for number, begin in enumerate(
        (lambda *a, **k: forked(store, parent, *a, **k), lambda *a, **k: planted(store, *a, **k))
    ):
        one = dataclasses.replace(opened, request_id=f"o{number}")
        for asked in (one, one, None):
            with refused(1, 1):
                await begin(policy, asked, sessions_max=1)
        assert await listed(store, policy) == {parent.session}
        made = await begin(policy, one, sessions_max=2)
        assert (await begin(policy, one, sessions_max=0)).session == made.session
        assert await listed(store, policy) == {parent.session, made.session}
        await store.end(made.session)


async def test_what_is_not_made_takes_no_place(make_store, policy):
    """A state that is not kept, a lineage that is full, a chunk that is absent, an id that is in use."""
    store = make_store(lineage_max=1)
    parent = await with_state(store, policy)
    seed = seed_of(await parent.state())
    for _ in range(3):
        with pytest.raises(WireError) as caught:
            await store.fork(parent.session, 7, fresh_session(parent.session), policy, seed, sessions_max=2)
        assert caught.value.code == "not_found"
        assert await forked(store, parent, policy, sessions_max=2) is None
        absent = Seed(1, "e", b"manifest", (chunk(b"absent")[0],))
        assert await store.plant(fresh_session(), policy, absent, sessions_max=2) is None
        with pytest.raises(ValueError, match="in use"):
            await store.create(parent.session, policy, sessions_max=1)
    await store.create(fresh_session(), policy, sessions_max=2)
    assert len(await listed(store, policy)) == 2
