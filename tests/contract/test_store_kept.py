"""Every store: what is remembered of a session, and what is let go."""

import asyncio
import dataclasses

import pytest

from orchestrator.core.commits import Answer
from support.commits import POLICY, chunk, entry, fresh_session, opened


async def test_ids_are_remembered_for_a_day_beyond_their_count(make_store):
    """More than `ids_kept` stay as long as they are young."""
    writer = await opened(make_store(ids_kept=3))
    for _ in range(8):
        await writer.commit()
    assert len(await writer.store.known_ids(writer.session)) == 8


async def test_old_ids_beyond_the_count_are_forgotten(make_store):
    """At least `ids_kept` stay, however old; the journal keeps its own count."""
    writer = await opened(make_store(ids_kept=3, ids_kept_s=0))
    for _ in range(8):
        await writer.commit()
    assert [known.seq for known in await writer.store.known_ids(writer.session)] == [6, 7, 8]
    assert await writer.store.outcome(writer.session, "request-5") is None
    assert len(await writer.store.journal(writer.session, 1, 8)) == 8


async def test_the_journal_is_bounded_and_with_it_the_ids(make_store):
    """Beyond `journal_kept` the oldest goes, with its id."""
    writer = await opened(make_store(ids_kept=2, journal_kept=4))
    await writer.commit(*(entry(seq) for seq in range(1, 4)))
    for _ in range(4):
        await writer.commit()
    assert [seq for seq, _ in await writer.store.journal(writer.session, 1, 99)] == [4, 5, 6, 7]
    assert [known.seq for known in await writer.store.known_ids(writer.session)] == [4, 5, 6, 7]


async def test_the_journal_is_read_in_parts(store):
    """Any range, beyond both ends too, in order."""
    writer = await opened(store)
    await writer.commit(*(entry(seq) for seq in range(1, 71)))
    assert [seq for seq, _ in await store.journal(writer.session, -5, 10**15)] == list(range(1, 71))
    assert [seq for seq, _ in await store.journal(writer.session, 30, 34)] == [30, 31, 32, 33, 34]
    assert list(await store.journal(writer.session, 9, 3)) == []


async def test_each_generation_keeps_its_last_numbers(make_store):
    """The last seq and event per generation, the newest generations only."""
    writer = await opened(make_store(generations_kept=2))
    for _ in range(3):
        await writer.commit()
        await writer.commit()
        writer = await writer.replaced()
    record = await writer.store.read(writer.session)
    assert (record.last_seqs, record.last_events) == ({2: 4, 3: 6}, {2: 40, 3: 60})


async def test_touch_renews(store):
    """`seen_at` moves, for those that are there."""
    writer, other = await opened(store), await opened(store)
    before = await store.read(writer.session)
    await asyncio.sleep(0.01)
    await store.touch([writer.session, fresh_session(), other.session])
    after = await store.read(writer.session)
    assert after.seen_at > before.seen_at
    assert dataclasses.replace(after, seen_at=before.seen_at) == before


async def test_open_sessions_are_listed_once(store):
    """Every open one, none that was closed."""
    sessions = {fresh_session() for _ in range(250)}
    await asyncio.gather(*(store.create(session, POLICY) for session in sessions))
    closed = set(list(sessions)[:50])
    await asyncio.gather(*(store.end(session) for session in closed))
    listed = [record.session async for record in store.sessions() if record.session in sessions]
    assert sorted(listed) == sorted(sessions - closed)


async def test_a_chunk_of_the_last_state_need_not_be_sent_again(store):
    """What did not change is referred to."""
    writer = await opened(store)
    kept, changed = chunk(b"kept"), chunk(b"changed")
    await writer.commit(chunks=[kept])
    assert (await writer.commit(chunks=[changed], references=[kept[0], changed[0]])).answer is Answer.OK
    state = await store.checkpoint(writer.session)
    assert await store.chunks(writer.session, state.references) == dict([kept, changed])


async def test_a_chunk_that_only_the_last_state_had_goes_with_it(make_store):
    """No state refers to it: it is absent, and must be sent again."""
    store = make_store(states_kept=1)
    writer = await opened(store)
    old, new = chunk(b"old"), chunk(b"new")
    await writer.commit(chunks=[old])
    await writer.commit(chunks=[new])
    assert await store.chunks(writer.session, [old[0], new[0]]) == dict([new])
    assert (await writer.commit(references=[old[0]])).answer is Answer.MISSING
    assert (await writer.commit(chunks=[old])).answer is Answer.OK


async def test_a_chunk_stays_while_a_sibling_refers_to_it(make_store):
    """Counts are the lineage's, not the session's."""
    store = make_store(states_kept=1)
    writer = await opened(store)
    sibling = await opened(store, writer.session)
    shared = chunk(b"shared")
    await writer.commit(chunks=[shared])
    assert (await sibling.commit(references=[shared[0]])).answer is Answer.OK
    await writer.commit()
    assert await store.chunks(sibling.session, [shared[0]]) == dict([shared])
    await sibling.commit()
    assert await store.chunks(sibling.session, [shared[0]]) == {}


async def test_the_same_chunk_twice_counts_once(make_store):
    """References may repeat an id; letting go of it lets go of all."""
    store = make_store(states_kept=1)
    writer = await opened(store)
    twice = chunk(b"twice")
    assert (await writer.commit(chunks=[twice], references=[twice[0], twice[0]])).answer is Answer.OK
    assert (await store.checkpoint(writer.session)).references == (twice[0], twice[0])
    await writer.commit(references=[twice[0]])
    assert await store.chunks(writer.session, [twice[0]]) == dict([twice])
    await writer.commit()
    assert await store.chunks(writer.session, [twice[0]]) == {}


async def test_a_repeated_commit_does_not_count_twice(make_store):
    """DUP leaves the counts alone."""
    store = make_store(states_kept=1)
    writer = await opened(store)
    data = chunk(b"data")
    commit = writer.next_commit(chunks=[data])
    await store.commit(commit)
    await store.commit(commit)
    writer.accept(commit)
    await writer.commit()
    assert await store.chunks(writer.session, [data[0]]) == {}


async def test_large_states_go_ahead_of_their_commit(store):
    """Several megabytes in many chunks arrive whole."""
    writer = await opened(store)
    chunks = [chunk(b"%d" % number * 100_000) for number in range(40)]
    assert (await writer.commit(chunks=chunks)).answer is Answer.OK
    assert await store.chunks(writer.session, [item for item, _ in chunks]) == dict(chunks)


@pytest.mark.parametrize(("grace_s", "answer"), [(600.0, Answer.OK), (0.0, Answer.MISSING)])
async def test_chunks_that_no_commit_took_are_swept_after_the_grace(make_store, grace_s, answer):
    """A condemned chunk counts as absent until it is sent again; one within its grace is left alone."""
    store = make_store(chunk_grace_s=grace_s)
    writer = await opened(store)
    chunks = [chunk(b"%d" % number * 200_000) for number in range(4)]
    wanted = [item for item, _ in chunks]
    refused = await writer.commit(chunks=chunks, references=[*wanted, chunk(b"absent")[0]])
    assert (refused.answer, refused.missing) == (Answer.MISSING, (chunk(b"absent")[0],))
    swept = await store.sweep_chunks()
    assert swept >= 4 if answer is Answer.MISSING else await store.chunks(writer.session, wanted) == dict(chunks)
    assert (await writer.commit(references=wanted)).answer is answer
    assert (await writer.commit(chunks=chunks)).answer is Answer.OK


async def test_a_sweep_leaves_what_is_referred_to(make_store):
    """However old it is, and also when it was sent ahead."""
    store = make_store(chunk_grace_s=0)
    writer = await opened(store)
    chunks = [chunk(b"%d" % number * 200_000) for number in range(4)]
    await writer.commit(chunks=chunks)
    await store.sweep_chunks()
    assert await store.chunks(writer.session, writer.references) == dict(chunks)
