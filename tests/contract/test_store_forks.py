"""Every store: sessions that begin with a state, of a session beside them or from elsewhere."""

import asyncio
import dataclasses
import secrets

import pytest

from orchestrator.core.commits import Answer
from orchestrator.core.session import KnownId, OpenId, Seed, Status
from replwire.errors import WireError
from support.commits import POLICY, chunk, entry, fresh_session, opened, resumed, seed_of

FORKED = dataclasses.replace(POLICY, name="fork", origin="the parent", origin_seq=2, park_unsaved=False)


@pytest.fixture
def opening():
    """The id of an `open` of a principal that has opened nothing yet."""
    return OpenId("acme", secrets.token_hex(8), "o", b"h" * 32)


async def parent_of(store):
    """A session with two states that share a chunk."""
    writer = await opened(store)
    shared, first, second = chunk(b"shared"), chunk(b"first"), chunk(b"second")
    await writer.commit(chunks=[shared, first])
    await writer.commit(chunks=[second], references=[shared[0], second[0]])
    return writer


async def fork(parent, at=2, session=None, opened_by=None):
    """Fork a state; the new session's id and what the store said."""
    session = session or fresh_session(parent.session)
    seed = seed_of(await parent.state(at))
    return session, await parent.store.fork(parent.session, at, session, FORKED, seed, opened_by)


async def test_a_fork_begins_with_the_state_and_nothing_else(store):
    """Seq and etag go on from the parent's; ids, journal, worker and generations are its own."""
    parent = await parent_of(store)
    before = await parent.state(1)
    session, record = await fork(parent, 1)
    assert record == await store.read(session)
    assert (record.session, record.policy, record.status, record.generation) == (session, FORKED, Status.OPEN, 0)
    assert (record.seq, record.etag, record.worker, record.cause) == (1, before.etag, None, "")
    assert (record.last_seqs, record.last_events) == ({}, {})
    state = await store.checkpoint(session)
    assert (state.seq, state.generation, state.etag) == (1, 0, before.etag)
    assert (state.manifest, state.references) == (seed_of(before).manifest, before.references)
    assert (await store.kept_states(session)).seqs == (1,)
    assert list(await store.known_ids(session)) == []
    assert list(await store.journal(session, 1, 9)) == []
    assert session in [found.session async for found in store.sessions()]


async def test_a_fork_lives_on_after_its_parent(make_store):
    """Its chunks are counted for it; both write on, each its own."""
    store = make_store(states_kept=1)
    parent = await parent_of(store)
    session, _ = await fork(parent)
    child = await resumed(store, session)
    await parent.commit()
    assert (await child.commit(entry(3), references=child.references)).answer is Answer.OK
    await store.end(parent.session)
    wanted = [chunk(b"shared"), chunk(b"second"), chunk(b"first")]
    assert await store.chunks(session, [item for item, _ in wanted]) == dict(wanted[:2])
    assert (await store.kept_states(session)).seqs == (3,)
    await child.commit(entry(4))
    assert await store.chunks(session, [item for item, _ in wanted]) == {}


async def test_a_pinned_state_is_forked_by_its_name(make_store):
    """Also when it is kept by its pin alone; and a fork of a fork."""
    store = make_store(states_kept=1)
    parent = await parent_of(store)
    assert await parent.pin("class")
    pinned = await parent.state("class")
    await parent.commit()
    session, record = await fork(parent, "class")
    assert (record.seq, record.etag) == (2, pinned.etag)
    child = await resumed(store, session)
    grandchild, _ = await fork(child)
    await asyncio.gather(store.end(parent.session), store.end(session))
    assert set(await store.chunks(grandchild, pinned.references)) == set(pinned.references)


async def test_a_state_that_is_not_that_one_is_not_found(store):
    """Not kept, of another etag or references, of a session that was closed or never was: and nothing is made."""
    parent = await parent_of(store)
    seed, session = seed_of(await parent.state()), fresh_session(parent.session)
    closed = await parent_of(store)
    await store.end(closed.session)
    for source, at, odd in (
        (parent.session, 7, seed),
        (parent.session, "no such pin", seed),
        (parent.session, 1, seed),
        (parent.session, 2, dataclasses.replace(seed, etag="x")),
        (parent.session, 2, dataclasses.replace(seed, references=())),
        (closed.session, 2, seed),
        (fresh_session(parent.session), 2, seed),
    ):
        child = fresh_session(source)
        with pytest.raises(WireError) as caught:
            await store.fork(source, at, child, FORKED, odd)
        assert caught.value.code == "not_found"
        assert await store.read(child) is None
    assert (await store.fork(parent.session, 2, session, FORKED, seed)).session == session


async def test_a_fork_is_of_its_parents_lineage_and_has_an_id_of_its_own(store):
    """All else is a fault of the caller."""
    parent = await parent_of(store)
    with pytest.raises(ValueError, match="lineage"):
        await fork(parent, session=fresh_session())
    with pytest.raises(ValueError, match="in use"):
        await fork(parent, session=parent.session)
    with pytest.raises(ValueError, match="session id"):
        await fork(parent, session="ses_x")
    with pytest.raises(ValueError, match="seed"):
        await store.fork(parent.session, 2, fresh_session(parent.session), FORKED, Seed(0, "", b"", ()))


async def test_a_lineage_is_bounded(make_store):
    """`lineage_max` sessions; one that ends makes room."""
    store = make_store(lineage_max=2)
    parent = await parent_of(store)
    first, _ = await fork(parent)
    full, answer = await fork(parent)
    assert answer is None
    assert await store.read(full) is None
    await store.end(first)
    _, record = await fork(parent)
    assert record is not None


async def test_many_forks_at_once_count_each(make_store):
    """A class that starts from one state: all of them hold it."""
    store = make_store(states_kept=1, lineage_max=13)
    parent = await parent_of(store)
    made = await asyncio.gather(*(fork(parent) for _ in range(30)))
    sessions = [session for session, record in made if record is not None]
    assert len(sessions) == 12
    await store.end(parent.session)
    for session in sessions:
        assert set(await store.chunks(session, [chunk(b"second")[0]])) == {chunk(b"second")[0]}
        await store.end(session)
    assert await store.chunks(sessions[0], [chunk(b"second")[0]]) == {}


async def test_the_same_fork_asked_again_is_the_same_session(store, opening):
    """By its id: as it is now, closed ones too; with another body a conflict."""
    parent = await parent_of(store)
    session, made = await fork(parent, opened_by=opening)
    await store.raise_generation(session, 0, "front", 30.0)
    second, again = await fork(parent, opened_by=opening)
    assert (made.session, again.session, again.generation) == (session, session, 1)
    assert await store.read(second) is None
    with pytest.raises(WireError) as caught:
        await fork(parent, opened_by=dataclasses.replace(opening, body_hash=b"\n\0" * 16))
    assert caught.value.code == "conflict"
    await store.end(session)
    _, closed = await fork(parent, opened_by=opening)
    assert (closed.session, closed.status) == (session, Status.CLOSED)


async def test_of_many_forks_by_one_id_one_decides(store, opening):
    """All of them get its session."""
    parent = await parent_of(store)
    made = await asyncio.gather(*(fork(parent, opened_by=opening) for _ in range(8)))
    (session,) = {record.session for _, record in made}
    for other in {name for name, _ in made} - {session}:
        record = await store.read(other)
        assert record is None or record.status is Status.CLOSED
    listed = [record.session async for record in store.sessions()]
    assert [name for name, _ in made if name in listed] == [session]


async def test_an_id_whose_session_is_not_there_opens_the_new_one(make_store, opening):
    """The state is sealed for the new one: what was cut off half-way is not made whole, but made anew."""
    store = make_store(tombstone_s=0, opening_s=0)
    parent = await parent_of(store)
    first, _ = await fork(parent, opened_by=opening)
    await store.end(first)
    await asyncio.sleep(0.01)
    second, record = await fork(parent, opened_by=opening)
    assert record.session == second
    _, again = await fork(parent, opened_by=opening)
    assert again.session == second


async def test_what_is_refused_leaves_its_id_free(make_store, opening):
    """A full lineage, then a copy, by the same request."""
    store = make_store(lineage_max=1)
    parent = await parent_of(store)
    _, answer = await fork(parent, opened_by=opening)
    assert answer is None
    with pytest.raises(WireError):
        await store.fork(
            parent.session, 7, fresh_session(parent.session), FORKED, seed_of(await parent.state()), opening
        )
    copy, state = fresh_session(), await parent.state()
    await store.put(copy, list((await store.chunks(parent.session, state.references)).items()))
    planted = await store.plant(copy, FORKED, seed_of(state), opened=opening)
    assert planted.session == copy
    assert (await store.plant(fresh_session(), FORKED, seed_of(state), opened=opening)).session == copy


# --- put and plant ------------------------------------------------------------------------------------------------


def state_of(*chunks, seq=5):
    """A seed with these chunks."""
    return Seed(seq, "e" * 32, b"sealed manifest", tuple(item for item, _ in chunks))


async def test_a_session_is_planted_with_its_history(store):
    """State, journal, ids, seq and etag; its worker goes on from there."""
    session, chunks = fresh_session(), [chunk(b"%d" % number * 200_000) for number in range(9)]
    await store.put(session, chunks)
    seed, entries = state_of(*chunks, seq=300), tuple(entry(seq) for seq in range(21, 301))
    record = await store.plant(session, FORKED, seed, entries)
    assert record == await store.read(session)
    assert (record.seq, record.etag, record.generation, record.policy) == (300, seed.etag, 0, FORKED)
    state = await store.checkpoint(session)
    assert (state.seq, state.generation, state.manifest, state.etag) == (300, 0, seed.manifest, seed.etag)
    assert await store.chunks(session, seed.references) == dict(chunks)
    assert [seq for seq, _ in await store.journal(session, 1, 999)] == list(range(21, 301))
    known = await store.known_ids(session)
    assert known[0] == KnownId("request-21", entries[0].body_hash, 21)
    assert [row.seq for row in known] == list(range(21, 301))
    assert await store.outcome(session, "request-300") == (300, entries[-1].blob)
    assert session in [found.session async for found in store.sessions()]
    writer = await resumed(store, session)
    assert (await writer.commit(entry(301), references=writer.references)).answer is Answer.OK
    assert (await writer.commit(entry(302, "request-21"))).answer is Answer.DUP


async def test_what_was_put_for_a_planted_session_stays(make_store):
    """Beyond the grace of what is only put; and it goes with the session."""
    store = make_store(chunk_grace_s=0.05)
    session, data, spare = fresh_session(), chunk(b"planted"), chunk(b"spare")
    await store.put(session, [data, spare])
    assert await store.plant(session, FORKED, state_of(data)) is not None
    await asyncio.sleep(0.1)
    await store.sweep_chunks()
    assert await store.chunks(session, [data[0], spare[0]]) == dict([data])
    await store.end(session)
    assert await store.chunks(session, [data[0]]) == {}


async def test_chunks_of_a_session_that_is_never_planted_go_by_themselves(make_store):
    """After the grace, without any sweep; each put renews it."""
    store = make_store(chunk_grace_s=0.02)
    session, data = fresh_session(), chunk(b"never planted")
    await store.put(session, [data])
    async with asyncio.timeout(5):
        while await store.chunks(session, [data[0]]):
            await asyncio.sleep(0.005)
    assert await store.plant(session, FORKED, state_of(data)) is None
    assert await store.read(session) is None


async def test_nothing_is_planted_while_a_chunk_is_absent(store):
    """None, no session, and no listing; with the chunk it goes."""
    session, here, absent = fresh_session(), chunk(b"here"), chunk(b"absent")
    await store.put(session, [here])
    seed = state_of(here, absent)
    assert await store.plant(session, FORKED, seed, (entry(5),)) is None
    assert await store.read(session) is None
    assert session not in [found.session async for found in store.sessions()]
    assert list(await store.known_ids(session)) == []
    await store.put(session, [absent])
    assert (await store.plant(session, FORKED, seed, (entry(5),))).seq == 5


async def test_what_cannot_be_planted_is_a_fault_of_the_caller(store):
    """A seq before the first, entries beyond the seed's, or not in a row, and an id in use."""
    session, data = fresh_session(), chunk(b"data")
    await store.put(session, [data])
    for seed, entries in (
        (state_of(data, seq=0), ()),
        (state_of(data), (entry(6),)),
        (state_of(data), (entry(3), entry(5))),
        (Seed(5, "e", b"m", (b"short",)), ()),
    ):
        with pytest.raises(ValueError):
            await store.plant(session, FORKED, seed, entries)
    with pytest.raises(ValueError):
        await store.put(session, [(b"short", b"data")])
    await store.plant(session, FORKED, state_of(data))
    with pytest.raises(ValueError, match="in use"):
        await store.plant(session, FORKED, state_of(data))


async def test_an_id_that_a_planted_journal_has_twice_is_its_later_one(make_store):
    """Long histories may use an id again; forgetting the first does not forget the second."""
    store = make_store(ids_kept=2, ids_kept_s=0)
    session, data = fresh_session(), chunk(b"data")
    await store.put(session, [data])
    entries = (entry(1, "again"), entry(2), entry(3, "again", b"other"))
    await store.plant(session, FORKED, state_of(data, seq=3), entries)
    assert [(known.request_id, known.seq) for known in await store.known_ids(session)] == [
        ("request-2", 2),
        ("again", 3),
    ]
    assert (await store.outcome(session, "again"))[0] == 3
    writer = await resumed(store, session)
    await writer.commit(entry(4))
    assert [known.request_id for known in await store.known_ids(session)] == ["again", "request-4"]


async def test_the_last_entries_of_a_long_journal_are_planted(make_store):
    """Those that a session keeps at most."""
    store = make_store(journal_kept=4)
    session, data = fresh_session(), chunk(b"data")
    await store.put(session, [data])
    await store.plant(session, FORKED, state_of(data, seq=9), tuple(entry(seq) for seq in range(1, 10)))
    assert [seq for seq, _ in await store.journal(session, 1, 99)] == [6, 7, 8, 9]
    assert [known.seq for known in await store.known_ids(session)] == [6, 7, 8, 9]


async def test_put_for_a_session_that_is_there_waits_for_its_commit(make_store):
    """As what goes ahead of a commit: for the grace, whatever becomes of it."""
    store = make_store(chunk_grace_s=0)
    writer = await opened(store)
    data, spare = chunk(b"data"), chunk(b"spare")
    await store.put(writer.session, [data, spare])
    assert await store.chunks(writer.session, [data[0], spare[0]]) == dict([data, spare])
    assert (await writer.commit(references=[data[0]])).answer is Answer.OK
    assert await store.sweep_chunks() >= 1
    assert await store.chunks(writer.session, [data[0], spare[0]]) == dict([data])
