"""Every store: the table of commits, row by row, and the traces that it came from."""

import asyncio
import dataclasses

import pytest

from orchestrator.core.commits import Answer
from support.commits import chunk, entry, opened


async def test_ok_writes_everything_at_once(store):
    """OK: outcome, journal, ids, checkpoint, seq, etag and last event are there together."""
    writer = await opened(store)
    data = chunk(b"state one")
    commit = writer.next_commit(chunks=[data])
    reply = await store.commit(commit)
    assert reply.answer is Answer.OK
    assert reply.durable == (await store.facts()).durable
    record = await store.read(writer.session)
    assert (record.seq, record.etag) == (1, commit.etag)
    assert (record.last_seqs, record.last_events) == ({1: 1}, {1: 10})
    state = await store.checkpoint(writer.session)
    assert (state.seq, state.generation, state.manifest, state.references) == (1, 1, commit.manifest, (data[0],))
    assert await store.chunks(writer.session, state.references) == dict([data])
    assert await store.outcome(writer.session, "request-1") == (1, commit.entries[0].blob)
    assert list(await store.journal(writer.session, 1, 1)) == [(1, commit.entries[0].blob)]


async def test_dup_gives_the_stored_outcome(store):
    """DUP: the same commit again changes nothing and says what is stored."""
    writer = await opened(store)
    commit = writer.next_commit(chunks=[chunk(b"state")])
    await store.commit(commit)
    reply = await store.commit(commit)
    assert (reply.answer, reply.stored) == (Answer.DUP, ((1, commit.entries[0].blob),))
    assert (reply.seq, reply.etag, reply.durable) == (1, commit.etag, (await store.facts()).durable)
    assert (await store.read(writer.session)).seq == 1


async def test_dup_is_told_of_old_evals_too(store):
    """DUP: with the seq that each id had, and the session's last etag."""
    writer = await opened(store)
    first = writer.next_commit(entry(1), entry(2))
    await store.commit(first)
    writer.accept(first)
    await writer.commit()
    reply = await store.commit(first)
    assert reply.answer is Answer.DUP
    assert reply.stored == tuple((item.seq, item.blob) for item in first.entries)
    assert (reply.seq, reply.etag) == (3, writer.etag)


async def test_an_older_generation_is_fenced(store):
    """FENCED: a worker that came back from a partition does no harm."""
    old = await opened(store)
    new = await old.replaced()
    assert (await old.commit()).answer is Answer.FENCED
    assert (await new.commit()).answer is Answer.OK
    assert (await store.read(old.session)).seq == 1


async def test_a_generation_number_used_twice_is_fenced_by_its_nonce(store):
    """Trace 4: the same number with another nonce is another generation."""
    writer = await opened(store)
    writer.nonce = "0" * 32
    assert (await writer.commit()).answer is Answer.FENCED


async def test_a_known_id_with_another_body_is_a_conflict(store):
    """CONFLICT: also when another id of the commit is new."""
    writer = await opened(store)
    await writer.commit()
    assert (await writer.commit(entry(2, "request-1", b"other"))).answer is Answer.CONFLICT
    assert (await writer.commit(entry(2), entry(3, "request-1", b"other"))).answer is Answer.CONFLICT
    assert (await store.read(writer.session)).seq == 1


async def test_a_commit_that_is_not_the_next_one_is_a_gap(store):
    """GAP: with the seq and etag to go on from, and nothing written."""
    writer = await opened(store)
    await writer.commit()
    for odd in (
        writer.next_commit(entry(3)),
        writer.next_commit(entry(1, "another")),
        writer.next_commit(entry(1), entry(2)),
        dataclasses.replace(writer.next_commit(), base_etag="0" * 32),
    ):
        reply = await store.commit(odd)
        assert (reply.answer, reply.seq, reply.etag) == (Answer.GAP, 1, writer.etag)
    assert [known.request_id for known in await store.known_ids(writer.session)] == ["request-1"]
    assert (await writer.commit()).answer is Answer.OK


async def test_an_absent_chunk_is_missing_and_nothing_is_written(store):
    """MISSING: the chunks by name; the same commit with them is taken."""
    writer = await opened(store)
    here, absent = chunk(b"here"), chunk(b"absent")
    reply = await writer.commit(chunks=[here], references=[here[0], absent[0]])
    assert (reply.answer, reply.missing) == (Answer.MISSING, (absent[0],))
    assert (await store.read(writer.session)).seq == 0
    assert await store.outcome(writer.session, "request-1") is None
    assert (await writer.commit(chunks=[here, absent])).answer is Answer.OK


async def test_checks_come_in_the_order_of_the_table(store):
    """A commit with every fault is FENCED; without a stale generation CONFLICT; then GAP; MISSING is the last."""
    writer = await opened(store)
    await writer.commit()
    absent = [chunk(b"absent")[0]]
    odd = writer.next_commit(entry(5, "request-1", b"other"), references=absent)
    assert (await store.commit(dataclasses.replace(odd, generation=7))).answer is Answer.FENCED
    assert (await store.commit(odd)).answer is Answer.CONFLICT
    assert (await store.commit(writer.next_commit(entry(5), references=absent))).answer is Answer.GAP
    assert (await store.commit(writer.next_commit(references=absent))).answer is Answer.MISSING


async def test_a_commit_that_cannot_be_is_a_fault_of_the_caller(store):
    """Entries that are not consecutive, one id twice, no entry, or a content id of another size."""
    writer = await opened(store)
    good = writer.next_commit()
    for odd in (
        dataclasses.replace(good, entries=()),
        dataclasses.replace(good, entries=(entry(1), entry(3))),
        dataclasses.replace(good, entries=(entry(1), entry(2, "request-1"))),
        dataclasses.replace(good, references=(b"short",)),
    ):
        with pytest.raises(ValueError):
            await store.commit(odd)


async def test_trace_1_a_new_agent_is_given_the_ids(store):
    """Committed, worker killed: whoever reads after the raise knows the id, and its repetition is a DUP."""
    writer = await opened(store)
    commit = writer.next_commit()
    await store.commit(commit)
    successor = await writer.replaced()
    (known,) = await store.known_ids(writer.session)
    assert (known.request_id, known.body_hash, known.seq) == ("request-1", commit.entries[0].body_hash, 1)
    again = dataclasses.replace(commit, generation=successor.generation, nonce=successor.nonce)
    assert (await store.commit(again)).answer is Answer.DUP


async def test_trace_2_what_was_refused_travels_with_the_next(store):
    """Eval 1 was never committed alone: 2 alone is a GAP, both together are OK."""
    writer = await opened(store)
    assert (await writer.commit(entry(2))).answer is Answer.GAP
    commit = writer.next_commit(entry(1), entry(2))
    assert (await store.commit(commit)).answer is Answer.OK
    record = await store.read(writer.session)
    assert (record.seq, record.etag, record.last_events) == (2, commit.etag, {1: 20})
    assert [seq for seq, _ in await store.journal(writer.session, 1, 9)] == [1, 2]


async def test_trace_3_fenced_and_yet_committed(store):
    """The reply was lost and the worker replaced: asked again it is FENCED, and the record has the commit."""
    writer = await opened(store)
    commit = writer.next_commit()
    await store.commit(commit)
    await writer.replaced()
    assert (await store.commit(commit)).answer is Answer.FENCED
    assert (await store.read(writer.session)).etag == commit.etag
    assert await store.outcome(writer.session, "request-1") == (1, commit.entries[0].blob)


async def test_trace_4_a_commit_on_another_history_is_a_gap(store):
    """One worker's n=2 does not land on another's n=1."""
    writer = await opened(store)
    other = await opened(store)
    await writer.commit(entry(1, "mine"))
    await other.commit(entry(1, "theirs"))
    writer.etag = other.etag
    assert (await writer.commit(entry(2))).answer is Answer.GAP


async def test_trace_8_raise_first_read_afterwards(store):
    """After a raise no commit of the generation before changes what was read."""
    writer = await opened(store)
    late = writer.next_commit()
    replies = await asyncio.gather(store.commit(late), store.raise_generation(writer.session, 1, "front", 30.0))
    record = await store.read(writer.session)
    assert record.seq == (1 if replies[0].answer is Answer.OK else 0)
    assert (await store.commit(late)).answer is Answer.FENCED
    assert await store.read(writer.session) == record
