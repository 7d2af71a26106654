"""Every store: sessions, who may write, the end, and many at once."""

import asyncio
import dataclasses

import pytest

from orchestrator.core.commits import Answer
from orchestrator.core.session import Status, WorkerAddress
from orchestrator.ports import Raised
from support.commits import POLICY, chunk, claim, entry, fresh_session, opened

WORKER = WorkerAddress("docker", "wrk_a", "/run/bascule/a.sock", 4000)


LATER = 1e11
"""A time that no test lives to see."""


async def test_a_new_session_is_open_and_empty(store):
    """What `create` gives is what `read` gives."""
    session = fresh_session()
    made = await store.create(session, POLICY)
    assert made == await store.read(session)
    assert (made.status, made.generation, made.seq, made.etag, made.worker) == (Status.OPEN, 0, 0, "", None)
    assert made.policy == POLICY
    assert made.created_at == made.seen_at > 1_600_000_000
    assert await store.checkpoint(session) is None
    assert list(await store.known_ids(session)) == []


async def test_an_id_in_use_is_refused(store):
    """Nobody gets another's session by drawing its id."""
    session = fresh_session()
    await store.create(session, POLICY)
    with pytest.raises(ValueError, match="in use"):
        await store.create(session, POLICY)


@pytest.mark.parametrize("text", ["", "ses_a_b", "x}:{y", "ses_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaa:record", "ses_*"])
async def test_what_is_no_id_never_becomes_a_key(store, text):
    """A text of another form is no session, and cannot be made one."""
    assert await store.read(text) is None
    with pytest.raises(ValueError, match="not a session id"):
        await store.create(text, POLICY)
    with pytest.raises(ValueError, match="not a session id"):
        await store.checkpoint(text)


async def test_unknown_sessions_have_nothing(store):
    """Every read of a session that never was is empty, and every write is refused."""
    known = await opened(store)
    session = fresh_session()
    assert await store.read(session) is None
    assert await store.checkpoint(session) is None
    assert list(await store.known_ids(session)) == []
    assert await store.outcome(session, "request-1") is None
    assert list(await store.journal(session, 1, 9)) == []
    assert await store.chunks(session, [b"c" * 32]) == {}
    assert await store.raise_generation(session, 0, "front", 1.0) is None
    commit = dataclasses.replace(known.next_commit(), session=session)
    assert (await store.commit(commit)).answer is Answer.FENCED
    await store.touch([session])
    await store.end(session)
    assert await store.read(session) is None


async def test_of_two_that_raise_at_once_one_wins(store):
    """Trace 8: the generation is compared and set in one step."""
    session = fresh_session()
    await store.create(session, POLICY)
    raised = await asyncio.gather(*(store.raise_generation(session, 0, f"front-{n}", 30.0) for n in range(8)))
    won = [found for found in raised if found is not None]
    assert [found.generation for found in won] == [1]
    record = await store.read(session)
    assert (record.generation, record.nonce) == (1, won[0].nonce)


async def test_the_loser_cannot_publish(store):
    """Trace 8: the address of a stale worker is refused, whichever of generation and nonce differs."""
    session = fresh_session()
    await store.create(session, POLICY)
    first = await store.raise_generation(session, 0, "front-a", 0.0)
    second = await store.raise_generation(session, 1, "front-b", 30.0)
    assert not await store.publish(session, first, WORKER)
    assert not await store.publish(session, dataclasses.replace(second, nonce=first.nonce), WORKER)
    assert await store.publish(session, second, WORKER)
    assert (await store.read(session)).worker == WORKER


async def test_a_replacement_under_way_is_left_alone_until_its_deadline(store):
    """An owner that dies half-way is followed by anyone, but not before its time."""
    session = fresh_session()
    await store.create(session, POLICY)
    await store.raise_generation(session, 0, "front-a", 30.0)
    assert await store.raise_generation(session, 1, "front-b", 30.0) is None
    assert (await store.raise_generation(session, 1, "front-a", 0.0)).generation == 2
    assert (await store.raise_generation(session, 2, "front-b", 30.0)).generation == 3


async def test_publishing_ends_the_replacement(store):
    """After it anyone may raise again, and the worker of before is no longer the session's."""
    session = fresh_session()
    await store.create(session, POLICY)
    raised = await store.raise_generation(session, 0, "front-a", 30.0)
    during = await store.read(session)
    assert (during.owner, during.worker) == ("front-a", None)
    assert during.deadline == pytest.approx(during.seen_at + 30, abs=1)
    await store.publish(session, raised, WORKER)
    after = await store.read(session)
    assert (after.owner, after.deadline, after.worker) == ("", 0.0, WORKER)
    assert await store.raise_generation(session, 1, "front-b", 30.0) is not None
    assert (await store.read(session)).worker is None


async def test_publishing_no_worker_parks(store):
    """A session may be without a worker."""
    session = fresh_session()
    await store.create(session, POLICY)
    first = await store.raise_generation(session, 0, "front-a", 30.0)
    await store.publish(session, first, WORKER)
    second = await store.raise_generation(session, 1, "front-a", 30.0)
    assert await store.publish(session, second, None)
    assert (await store.read(session)).worker is None


async def test_a_record_tells_why_its_generation_was_raised(store):
    """Nothing for the first worker; then what the caller said."""
    session = fresh_session()
    assert (await store.create(session, POLICY)).cause == ""
    for seen, cause in enumerate(("", "worker_died", "")):
        raised = await store.raise_generation(session, seen, "front", 30.0, cause)
        assert (await store.read(session)).cause == cause
        await store.publish(session, raised, WORKER)
        assert (await store.read(session)).cause == cause


async def test_a_worker_that_was_published_meanwhile_is_not_taken_from_the_session(store):
    """Whoever saw none raises only if there is none still; whoever saw it die raises all the same."""
    session = fresh_session()
    await store.create(session, POLICY)
    raised = await store.raise_generation(session, 0, "front", 30.0, vacant=True)
    assert await store.publish(session, raised, WORKER)
    assert await store.raise_generation(session, 1, "other", 30.0, vacant=True) is None
    assert (await store.read(session)).worker == WORKER
    assert await store.raise_generation(session, 1, "other", 30.0)


async def test_a_generation_that_the_store_forgot_is_not_counted_again(store):
    """A store that went back knows fewer than its callers do; asked for one that is above less, it counts on."""
    session = fresh_session()
    await store.create(session, POLICY)
    first = await store.raise_generation(session, 0, "front", 30.0, above=7)
    second = await store.raise_generation(session, 8, "front", 30.0, above=3)
    assert (first.generation, second.generation) == (8, 9)
    record = await store.read(session)
    assert (record.generation, record.nonce) == (9, second.nonce)
    assert await store.raise_generation(session, 7, "front", 30.0, above=20) is None


async def test_an_agreement_to_end_runs_out(store):
    """Whoever stood still after the worker agreed, parks nothing: it may have begun something since (trace 13)."""
    writer = await opened(store)
    await writer.commit()
    seen = Raised(writer.generation, writer.nonce)
    now = await store.now()
    assert not await store.park(writer.session, seen, 1, now - 0.001)
    assert (await store.read(writer.session)).cause != "parked"
    assert await store.park(writer.session, seen, 1, now + 60.0)


async def test_parking_raises_and_takes_the_worker_away_in_one_step(store):
    """By whoever knows generation, nonce and seq; anyone may wake it, and a late commit is fenced."""
    writer = await opened(store)
    await writer.commit()
    seen = Raised(writer.generation, writer.nonce)
    await store.publish(writer.session, seen, WORKER)
    before = await store.read(writer.session)
    assert not await store.park(writer.session, dataclasses.replace(seen, nonce="0" * 32), 1, LATER)
    assert not await store.park(writer.session, dataclasses.replace(seen, generation=seen.generation + 1), 1, LATER)
    assert not await store.park(writer.session, seen, 0, LATER)
    assert not await store.park(fresh_session(), seen, 1, LATER)
    assert await store.read(writer.session) == before
    assert await store.park(writer.session, seen, 1, LATER)
    parked = await store.read(writer.session)
    assert (parked.generation, parked.worker, parked.owner, parked.deadline) == (seen.generation + 1, None, "", 0.0)
    assert (parked.cause, parked.nonce == seen.nonce) == ("parked", False)
    assert not await store.park(writer.session, seen, 1, LATER)
    assert (await writer.commit()).answer is Answer.FENCED
    woken = await claim(store, writer.session, parked.generation)
    assert (await woken.commit()).answer is Answer.OK


async def test_trace_7_a_commit_before_the_park_stops_it(store):
    """Idle when it was looked at, dispatched through another front door: the seq is another."""
    writer = await opened(store)
    seen = Raised(writer.generation, writer.nonce)
    await writer.commit()
    assert not await store.park(writer.session, seen, 0, LATER)
    assert (await writer.commit()).answer is Answer.OK


async def test_links_are_told_apart_from_what_is_only_in_hand(store):
    """`linked_at` moves with a touch of those linked, a commit and the address of a worker, and nothing else."""
    writer, other = await opened(store), await opened(store)
    assert (await store.read(writer.session)).linked_at == 0.0
    await store.touch([writer.session, other.session], [writer.session])
    linked = await store.read(writer.session)
    assert linked.linked_at == linked.seen_at > 1_600_000_000
    assert (await store.read(other.session)).linked_at == 0.0
    await asyncio.sleep(0.01)
    await store.touch([writer.session])
    touched = await store.read(writer.session)
    assert touched.seen_at > touched.linked_at == linked.linked_at
    await asyncio.sleep(0.01)
    await writer.commit()
    committed = await store.read(writer.session)
    assert committed.linked_at == committed.seen_at > touched.seen_at
    await asyncio.sleep(0.01)
    await store.publish(writer.session, Raised(writer.generation, writer.nonce), WORKER)
    assert (await store.read(writer.session)).linked_at > committed.linked_at


async def test_a_closed_session_says_so_and_has_nothing_else(store):
    """Only the record stays; its chunks, journal, ids and checkpoint are gone, and no commit lands."""
    writer = await opened(store)
    data = chunk(b"data")
    await writer.commit(chunks=[data])
    await store.end(writer.session)
    record = await store.read(writer.session)
    assert (record.status, record.policy, record.seq, record.worker) == (Status.CLOSED, POLICY, 1, None)
    assert await store.checkpoint(writer.session) is None
    assert list(await store.known_ids(writer.session)) == []
    assert list(await store.journal(writer.session, 1, 9)) == []
    assert await store.chunks(writer.session, [data[0]]) == {}
    assert (await writer.commit()).answer is Answer.FENCED
    assert await store.raise_generation(writer.session, 1, "front", 1.0) is None
    with pytest.raises(ValueError, match="in use"):
        await store.create(writer.session, POLICY)
    await store.end(writer.session)
    assert await store.read(writer.session) == record


async def test_the_end_of_one_session_leaves_its_siblings_chunks(store):
    """The lineage goes with its last session."""
    writer = await opened(store)
    sibling = await opened(store, writer.session)
    shared, own = chunk(b"shared"), chunk(b"own")
    await writer.commit(chunks=[shared, own])
    await sibling.commit(references=[shared[0]])
    await store.end(writer.session)
    assert await store.chunks(sibling.session, [shared[0], own[0]]) == dict([shared])


async def test_the_record_of_a_closed_session_goes_in_the_end(make_store):
    """After `tombstone_s` it is as if it had never been."""
    store = make_store(tombstone_s=0.005)
    writer = await opened(store)
    await store.end(writer.session)
    async with asyncio.timeout(5):
        while await store.read(writer.session) is not None:
            await asyncio.sleep(0.005)


async def test_fifty_sessions_commit_at_once(store):
    """Each gets its own answer, and its own state is what is stored."""
    writers = await asyncio.gather(*(opened(store) for _ in range(50)))
    for _ in range(4):
        datas = [chunk(writer.session.encode() + b"%d" % writer.seq) for writer in writers]
        replies = await asyncio.gather(
            *(writer.commit(chunks=[data]) for writer, data in zip(writers, datas, strict=True))
        )
        assert {reply.answer for reply in replies} == {Answer.OK}
        for writer, data in zip(writers, datas, strict=True):
            assert await store.chunks(writer.session, [data[0]]) == dict([data])
    assert {(await store.read(writer.session)).seq for writer in writers} == {4}


async def test_of_many_that_commit_the_same_number_one_is_taken(store):
    """Whatever the order, one OK and the rest GAP."""
    writer = await opened(store)
    commits = [writer.next_commit(entry(1, f"request-{n}")) for n in range(20)]
    answers = [reply.answer for reply in await asyncio.gather(*map(store.commit, commits))]
    assert (answers.count(Answer.OK), answers.count(Answer.GAP)) == (1, 19)


async def test_facts_are_told(store):
    """A name, and what an OK means."""
    facts = await store.facts()
    assert facts.software
    assert facts.durable in ("fsync", "memory")


async def test_claiming_again_after_many_generations(store):
    """Generations only grow, one by one."""
    writer = await opened(store)
    for _ in range(5):
        writer = await claim(store, writer.session, writer.generation)
    assert writer.generation == 6
