"""Every store: the states that are kept, going back to one, and keeping one under a name."""

import asyncio
import dataclasses
import secrets

import pytest

from orchestrator.core.commits import Answer
from orchestrator.core.session import KeptStates, Pin, WorkerAddress
from orchestrator.ports import Raised
from replwire.errors import WireError
from support.commits import chunk, entry, fresh_session, opened

WORKER = WorkerAddress("docker", "wrk_a", "/run/bascule/a.sock", 4000)


def state_chunk(seq: int) -> tuple[bytes, bytes]:
    """What only the state of that seq has."""
    return chunk(b"state %d" % seq)


async def committed(store, count: int):
    """A session with so many states, each with a chunk of its own."""
    writer = await opened(store)
    for seq in range(1, count + 1):
        assert (await writer.commit(chunks=[state_chunk(seq)])).answer is Answer.OK
    return writer


async def test_a_state_tells_what_it_is(store):
    """Seq, generation, etag, manifest and references of each, also after later ones."""
    writer = await opened(store)
    made = []
    for seq in (1, 2):
        made.append(writer.next_commit(chunks=[state_chunk(seq)]))
        await writer.commit(chunks=[state_chunk(seq)])
        writer = await writer.replaced()
    for commit in made:
        state = await writer.state(commit.seq)
        assert (state.seq, state.generation, state.etag) == (commit.seq, commit.generation, commit.etag)
        assert (state.manifest, state.references) == (commit.manifest, commit.references)
    assert await writer.state() == await writer.state(2)
    assert await store.checkpoint(writer.session, 3) is None
    assert await store.checkpoint(writer.session, "no such pin") is None


async def test_the_last_states_are_kept_and_their_chunks_with_them(make_store):
    """So many as are set; what only an older one had is gone."""
    store = make_store(states_kept=3)
    writer = await committed(store, 5)
    assert (await store.kept_states(writer.session)).seqs == (3, 4, 5)
    assert await store.checkpoint(writer.session, 2) is None
    wanted = [state_chunk(seq) for seq in range(1, 6)]
    assert await store.chunks(writer.session, [item for item, _ in wanted]) == dict(wanted[2:])


async def test_a_commit_of_several_evals_is_one_state(make_store):
    """A state has the seq of the last one; those before have none."""
    store = make_store(states_kept=2)
    writer = await committed(store, 1)
    await writer.commit(*(entry(seq) for seq in range(2, 6)))
    assert (await store.kept_states(writer.session)).seqs == (1, 5)
    assert await store.checkpoint(writer.session, 3) is None


async def test_a_chunk_that_comes_and_goes_stays_while_any_state_has_it(make_store):
    """In states 1 and 3 and not in 2: it goes when neither is kept."""
    store = make_store(states_kept=2)
    writer = await opened(store)
    data = chunk(b"back again")
    await writer.commit(chunks=[data])
    await writer.commit()
    assert (await writer.commit(references=[data[0]])).answer is Answer.OK
    for held in (dict([data]), {}):
        await writer.commit()
        assert await store.chunks(writer.session, [data[0]]) == held


async def test_a_session_without_states_has_none_to_go_back_to(store):
    """Nor has one that never was, or was closed."""
    writer = await opened(store)
    nothing = KeptStates((), ())
    assert await store.kept_states(writer.session) == nothing
    assert await store.kept_states(fresh_session()) == nothing
    await writer.commit()
    assert await writer.pin("p")
    await store.end(writer.session)
    assert await store.kept_states(writer.session) == nothing
    assert await store.checkpoint(writer.session, "p") is None
    assert not await store.unpin(writer.session, "p")
    assert not await store.pin(writer.session, Pin("p", 1, writer.etag))


# --- rewind -------------------------------------------------------------------------------------------------------


async def test_a_rewind_is_a_commit_of_a_state_of_before(store):
    """Seq + 1 with that state, and in the same step another generation without a worker; ids and journal stay."""
    writer = await committed(store, 3)
    await store.publish(writer.session, Raised(writer.generation, writer.nonce), WORKER)
    target, generation = await writer.state(1), writer.generation
    assert (await writer.rewind(target, "front-a")).answer is Answer.OK
    record = await store.read(writer.session)
    assert (record.seq, record.etag, record.generation, record.nonce) == (4, writer.etag, generation + 1, writer.nonce)
    assert (record.owner, record.worker, record.cause) == ("front-a", None, "rewind")
    assert record.deadline == pytest.approx(record.seen_at + 30, abs=1)
    assert (record.last_seqs, record.last_events) == ({generation: 4}, {generation: 40})
    state = await writer.state()
    assert (state.seq, state.generation, state.references) == (4, generation, target.references)
    assert (state.manifest, state.etag) == (b"sealed manifest 4", record.etag)
    assert await store.outcome(writer.session, "request-2") is not None
    assert [seq for seq, _ in await store.journal(writer.session, 1, 9)] == [1, 2, 3, 4]
    assert (await store.kept_states(writer.session)).seqs == (1, 2, 3, 4)
    assert (await writer.commit(references=target.references)).answer is Answer.OK


async def test_a_rewind_whose_answer_was_lost_is_asked_again(store):
    """The same arguments: OK, and nothing happens twice."""
    writer = await committed(store, 2)
    target, raised = await writer.state(1), Raised(writer.generation + 1, secrets.token_hex(16))
    commit = writer.rewinding(target)
    for _ in range(3):
        reply = await store.rewind(commit, 1, raised, "front", 30.0)
        assert (reply.answer, reply.durable) == (Answer.OK, (await store.facts()).durable)
    record = await store.read(writer.session)
    assert (record.seq, record.generation) == (3, raised.generation)


async def test_a_rewind_is_refused_as_a_commit_is(store):
    """FENCED, CONFLICT, DUP, GAP in the order of the table; and the generation is what it was."""
    writer = await committed(store, 2)
    target = await writer.state(1)
    good, raised = writer.rewinding(target), Raised(writer.generation + 1, secrets.token_hex(16))
    old = writer.rewinding(target, "request-1")
    other = dataclasses.replace(old, entries=(entry(3, "request-1", b"other"),))
    ahead = dataclasses.replace(good, entries=(entry(4),))
    for commit, answer in (
        (dataclasses.replace(good, nonce="0" * 32), Answer.FENCED),
        (other, Answer.CONFLICT),
        (old, Answer.DUP),
        (ahead, Answer.GAP),
        (dataclasses.replace(good, base_etag="x"), Answer.GAP),
    ):
        assert (await store.rewind(commit, 1, raised, "front", 30.0)).answer is answer
    record = await store.read(writer.session)
    assert (record.seq, record.generation, record.cause) == (2, writer.generation, "")
    assert (await store.rewind(good, 1, raised, "front", 30.0)).answer is Answer.OK
    assert (await store.commit(good)).answer is Answer.FENCED


async def test_a_state_that_is_not_kept_any_more_is_a_gap(make_store):
    """Nor one with other references than the caller read; both with the session's seq, which is the caller's own."""
    store = make_store(states_kept=2)
    writer = await committed(store, 1)
    first = await writer.state(1)
    for seq in (2, 3):
        await writer.commit(chunks=[state_chunk(seq)])
    for target in (first, dataclasses.replace(await writer.state(2), references=())):
        reply = await writer.rewind(target)
        assert (reply.answer, reply.seq, reply.etag) == (Answer.GAP, 3, writer.etag)
    assert (await writer.rewind(await writer.state(2))).answer is Answer.OK


async def test_the_state_gone_back_to_may_be_the_one_that_is_dropped(make_store):
    """Its chunks are the new state's."""
    store = make_store(states_kept=2)
    writer = await committed(store, 2)
    assert (await writer.rewind(await writer.state(1))).answer is Answer.OK
    assert (await store.kept_states(writer.session)).seqs == (2, 3)
    for held in (dict([state_chunk(1)]), dict([state_chunk(1)]), {}):
        assert await store.chunks(writer.session, [state_chunk(1)[0]]) == held
        await writer.commit()


async def test_what_is_no_rewind_is_a_fault_of_the_caller(store):
    """Two entries, chunks of its own, or a generation that is not the next one."""
    writer = await committed(store, 1)
    good, raised = writer.rewinding(await writer.state(1)), Raised(writer.generation + 1, "n")
    for commit, next_one in (
        (dataclasses.replace(good, entries=(entry(2), entry(3))), raised),
        (dataclasses.replace(good, chunks=(chunk(b"more"),)), raised),
        (good, Raised(writer.generation, "n")),
    ):
        with pytest.raises(ValueError, match="a rewind"):
            await store.rewind(commit, 1, next_one, "front", 30.0)


async def test_of_a_rewind_and_a_commit_at_once_one_is_first(store):
    """The other one is told, whichever it is."""
    writer = await committed(store, 2)
    late, back = writer.next_commit(entry(3, "late")), writer.rewinding(await writer.state(1))
    raised = Raised(writer.generation + 1, secrets.token_hex(16))
    replies = await asyncio.gather(store.commit(late), store.rewind(back, 1, raised, "front", 30.0))
    assert [reply.answer for reply in replies] in ([Answer.OK, Answer.GAP], [Answer.FENCED, Answer.OK])


# --- pins ---------------------------------------------------------------------------------------------------------


async def test_a_pin_keeps_a_state_for_as_long_as_it_stands(make_store):
    """Beyond the last states, with its chunks; let go of, they go."""
    store = make_store(states_kept=1)
    writer = await committed(store, 1)
    pinned = await writer.state()
    assert await writer.pin("begin")
    await writer.commit(chunks=[state_chunk(2)])
    assert await store.checkpoint(writer.session, "begin") == pinned
    assert await store.checkpoint(writer.session, 1) is None
    kept = await store.kept_states(writer.session)
    assert kept == KeptStates((2,), (Pin("begin", 1, pinned.etag),))
    assert await store.chunks(writer.session, pinned.references) == dict([state_chunk(1)])
    assert await store.unpin(writer.session, "begin")
    assert not await store.unpin(writer.session, "begin")
    assert await store.checkpoint(writer.session, "begin") is None
    assert await store.chunks(writer.session, pinned.references) == {}


async def test_a_name_is_of_the_last_state_that_it_was_given(make_store):
    """What it named before is let go; given again, nothing happens, also when that state is kept by the pin alone."""
    store = make_store(states_kept=1)
    writer = await committed(store, 1)
    await writer.pin("p")
    await writer.commit(chunks=[state_chunk(2)])
    assert await writer.pin("p")
    assert (await store.kept_states(writer.session)).pins == (Pin("p", 2, writer.etag),)
    assert await store.chunks(writer.session, [state_chunk(1)[0]]) == {}
    pin = Pin("p", 2, writer.etag)
    await writer.commit()
    assert await store.pin(writer.session, pin)
    await store.unpin(writer.session, "p")
    assert await store.chunks(writer.session, [state_chunk(2)[0]]) == {}


async def test_two_names_of_one_state_are_two_holds(make_store):
    """Its chunks stay until both are gone."""
    store = make_store(states_kept=1)
    writer = await committed(store, 1)
    assert await writer.pin("a")
    assert await writer.pin("b")
    await writer.commit()
    for name, held in (("b", dict([state_chunk(1)])), ("a", {})):
        await store.unpin(writer.session, name)
        assert await store.chunks(writer.session, [state_chunk(1)[0]]) == held


async def test_a_state_that_is_not_that_one_is_not_pinned(store):
    """Another etag, another seq, a session that never was."""
    writer = await committed(store, 2)
    assert not await store.pin(writer.session, Pin("p", 2, "x"))
    assert not await store.pin(writer.session, Pin("p", 7, writer.etag))
    assert not await store.pin(fresh_session(), Pin("p", 2, writer.etag))
    assert (await store.kept_states(writer.session)).pins == ()


async def test_pins_are_bounded(make_store):
    """`pins_max` names; a name that is there may be given anew, and one that is let go makes room."""
    store = make_store(pins_max=2)
    writer = await committed(store, 2)
    assert await writer.pin("a", 1)
    assert await writer.pin("b", 1)
    with pytest.raises(WireError, match="2 pins") as caught:
        await writer.pin("c")
    assert caught.value.code == "quota_exceeded"
    assert (caught.value.details["limit"], caught.value.details["max"]) == ("pins_max", 2)
    assert await writer.pin("a", 2)
    await store.unpin(writer.session, "b")
    assert await writer.pin("ü c")
    assert [(pin.name, pin.seq) for pin in (await store.kept_states(writer.session)).pins] == [("a", 2), ("ü c", 2)]


async def test_the_end_lets_go_of_states_and_pins(make_store):
    """A sibling's chunks stay, all others go."""
    store = make_store(states_kept=2)
    writer = await committed(store, 1)
    sibling = await opened(store, writer.session)
    await writer.pin("p")
    for seq in (2, 3, 4):
        await writer.commit(chunks=[state_chunk(seq)])
    await sibling.commit(references=[state_chunk(3)[0]])
    wanted = [state_chunk(seq) for seq in range(1, 5)]
    held = await store.chunks(writer.session, [item for item, _ in wanted])
    assert held == dict([wanted[0], wanted[2], wanted[3]])
    await store.end(writer.session)
    assert await store.chunks(sibling.session, [item for item, _ in wanted]) == dict([state_chunk(3)])
