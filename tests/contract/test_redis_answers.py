"""A real server: what its OK means, what goes together, and answers that are lost."""

import asyncio

import pytest

from orchestrator.core.commits import Answer
from support.commits import POLICY, chunk, entry, fresh_session, opened
from support.stores import away, behind_proxy, connected

pytestmark = pytest.mark.redis


@pytest.mark.parametrize(
    ("settings", "durable", "warning"),
    [
        ({}, "fsync", None),
        ({"appendonly": "no"}, "memory", "appendonly is off"),
        ({"maxmemory-policy": "allkeys-lru"}, "fsync", "maxmemory-policy"),
    ],
)
async def test_s10_a_commit_is_labelled_with_what_the_server_does(make_server, settings, durable, warning):
    """Facts, their warnings and the label of each OK agree."""
    server = make_server(**settings)
    async with connected(server.url) as store:
        facts = await store.facts()
        assert (facts.durable, (await (await opened(store)).commit()).durable) == (durable, durable)
    assert [warning in found for found in facts.warnings] == ([True] if warning else [])


async def test_s21_a_server_that_syncs_later_is_waited_for(server):
    """`appendfsync everysec`: with WAITAOF `fsync`, without it `memory`, said honestly."""
    server.command("CONFIG", "SET", "appendfsync", "everysec")
    has_waitaof = b"waitaof" in server.command("COMMAND", "INFO", "waitaof")
    async with connected(server.url) as store:
        assert (await store.facts()).durable == ("fsync" if has_waitaof else "memory")
        writer = await opened(store)
        assert (await writer.commit()).durable == ("fsync" if has_waitaof else "memory")


async def test_trace_10_a_dup_is_covered_by_the_wait_as_well(server):
    """Where nothing is ever synced, neither the commit nor its repetition on a fresh connection is told as `fsync`."""
    server.command("CONFIG", "SET", "appendfsync", "no")
    async with connected(server.url) as store, connected(server.url) as other:
        writer = await opened(store)
        commit = writer.next_commit()
        assert (await store.commit(commit)).durable == "memory"
        again = await other.commit(commit)
        assert (again.answer, again.durable) == (Answer.DUP, "memory")


async def test_settings_are_learnt_again_after_a_reconnect(make_server):
    """A server that comes back with other settings changes the label."""
    server = make_server()
    async with connected(server.url) as store:
        writer = await opened(store)
        assert (await writer.commit()).durable == "fsync"
        server.settings["appendonly"] = "no"
        server.restart()
        writer = await opened(store)
        assert (await writer.commit()).durable == "memory"


async def test_commits_of_many_sessions_go_together(server):
    """Fifty at once are a few batches, not fifty."""
    sizes: list[int] = []
    async with connected(server.url, on_batch=sizes.append) as store:
        writers = await asyncio.gather(*(opened(store) for _ in range(50)))
        await asyncio.gather(*(writer.commit() for writer in writers))
    assert sum(sizes) == 50
    assert len(sizes) <= 3


async def test_what_waits_is_sent_before_the_store_closes(server):
    """`close` loses no commit that was submitted."""
    async with connected(server.url) as store:
        writer = await opened(store)
        commit = asyncio.create_task(writer.commit())
        await asyncio.sleep(0)
    assert (await commit).answer is Answer.OK


async def test_a_caller_that_leaves_disturbs_nobody(server):
    """A cancelled commit is applied or not; those beside it get their answers."""
    async with connected(server.url) as store:
        writers = await asyncio.gather(*(opened(store) for _ in range(10)))
        tasks = [asyncio.create_task(writer.commit()) for writer in writers]
        await asyncio.sleep(0)
        tasks[3].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(reply, "answer", None) for reply in done].count(Answer.OK) == 9


async def test_s20_scripts_that_the_server_forgot_are_loaded_again(server):
    """NOSCRIPT is no error of the caller, for a batch and for every other call."""
    async with connected(server.url) as store:
        writers = await asyncio.gather(*(opened(store) for _ in range(20)))
        server.command("SCRIPT", "FLUSH")
        replies = await asyncio.gather(*(writer.commit() for writer in writers))
        assert {reply.answer for reply in replies} == {Answer.OK}
        server.command("SCRIPT", "FLUSH")
        assert await store.outcome(writers[0].session, "request-1") is not None


async def test_s05_a_lost_answer_is_asked_for_once_more(server):
    """Applied, the reply lost: asked again with the same arguments it is a DUP, and the state is there once."""
    async with behind_proxy(server) as (store, proxy):
        writer = await opened(store)
        await writer.commit()
        commit = writer.next_commit(chunks=[chunk(b"state")])
        proxy.lose_replies = 1
        reply = await store.commit(commit)
        assert (reply.answer, reply.stored) == (Answer.DUP, ((2, commit.entries[0].blob),))
        assert (await store.read(writer.session)).etag == commit.etag


async def test_s07_nobody_asks_a_third_time(server):
    """Two lost answers are `store_unavailable`; the library adds no tries of its own."""
    async with behind_proxy(server) as (store, proxy):
        writer = await opened(store)
        await writer.commit()
        commit = writer.next_commit(entry(2, "request-asked-twice"))
        proxy.requests.clear()
        proxy.lose_replies = 10
        with away("unreachable"):
            await store.commit(commit)
        assert sum(data.count(b"request-asked-twice") for data in proxy.requests) <= 2
        proxy.lose_replies = 0
        assert (await store.commit(commit)).answer in (Answer.OK, Answer.DUP)


async def test_s07_a_raise_whose_answer_was_lost_raises_once(server):
    """Asked again with the same nonce it is the same replacement."""
    async with behind_proxy(server) as (store, proxy):
        writer = await opened(store)
        proxy.lose_replies = 1
        raised = await store.raise_generation(writer.session, 1, "front", 30.0)
        assert (raised.generation, (await store.read(writer.session)).nonce) == (2, raised.nonce)


async def test_a_creation_whose_answer_was_lost_is_no_conflict_with_itself(server):
    """Asked again with the same nonce it is the same session."""
    async with behind_proxy(server) as (store, proxy):
        await store.facts()
        session = fresh_session()
        proxy.lose_replies = 1
        assert (await store.create(session, POLICY)) == await store.read(session)
