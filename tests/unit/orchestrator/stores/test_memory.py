"""What the contract cannot show of the twin: its clock. The rest is in `tests/contract`."""

from dataclasses import replace

import pytest

from orchestrator.core.commits import Answer
from orchestrator.stores.limits import INLINE_BYTES_MAX, StoreLimits
from orchestrator.stores.memory import MemoryStore
from support.commits import POLICY, chunk, fresh_session, opened


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_all_times_are_the_stores_own():
    """Of creation, of the last touch and of a deadline."""
    time = Time()
    store = MemoryStore(now=time)
    session = fresh_session()
    await store.create(session, POLICY)
    time.now_s = 1010.0
    await store.raise_generation(session, 0, "front-a", 30.0)
    record = await store.read(session)
    assert (record.created_at, record.seen_at, record.deadline) == (1000.0, 1010.0, 1040.0)
    time.now_s = 1039.0
    assert await store.raise_generation(session, 1, "front-b", 30.0) is None
    time.now_s = 1040.0
    assert await store.raise_generation(session, 1, "front-b", 30.0) is not None


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
async def test_s24_a_clock_that_jumps_moves_ownership_and_commits_nothing_twice(jump_s):
    """Forward, a replacement's deadline is over early and another one may take it; backward, late. The fence holds."""
    time = Time()
    store = MemoryStore(now=time)
    writer = await opened(store)
    await writer.commit()
    owned = await store.raise_generation(writer.session, 1, "front-a", 30.0)
    assert owned is not None
    time.now_s += jump_s
    taken = await store.raise_generation(writer.session, 2, "front-b", 30.0)
    assert (taken is not None) == (jump_s > 0)
    assert (await writer.commit()).answer is Answer.FENCED
    assert await store.publish(writer.session, owned, None) == (taken is None)
    current = taken or owned
    assert taken is None or await store.publish(writer.session, taken, None)
    heir = replace(writer, generation=current.generation, nonce=current.nonce)
    assert [(await heir.commit()).answer for _ in range(2)] == [Answer.OK, Answer.OK]
    assert (await store.read(writer.session)).seq == 3


async def test_ids_go_after_a_day_and_not_before():
    """Beyond the count that is kept in any case."""
    time = Time()
    writer = await opened(MemoryStore(limits=StoreLimits(ids_kept=2), now=time))
    for _ in range(4):
        await writer.commit()
    time.now_s += 24 * 3600 - 1
    await writer.commit()
    assert len(await writer.store.known_ids(writer.session)) == 5
    time.now_s += 2
    await writer.commit()
    assert [known.seq for known in await writer.store.known_ids(writer.session)] == [5, 6]


async def test_a_put_renews_the_grace():
    """A chunk that no commit took is swept when nobody has sent it for the whole grace."""
    time = Time()
    store = MemoryStore(limits=StoreLimits(chunk_grace_s=600), now=time)
    writer = await opened(store)
    data, absent = chunk(bytes(INLINE_BYTES_MAX + 1)), chunk(b"absent")
    for _ in range(2):
        reply = await writer.commit(chunks=[data], references=[data[0], absent[0]])
        assert reply.answer is Answer.MISSING
        time.now_s += 599
        assert await store.sweep_chunks() == 0
    time.now_s += 1
    assert await store.sweep_chunks() == 1
    assert await store.chunks(writer.session, [data[0]]) == {}


async def test_it_says_that_nothing_survives():
    """Nobody takes the twin for a store."""
    facts = await MemoryStore().facts()
    assert (facts.durable, len(facts.warnings)) == ("memory", 1)
