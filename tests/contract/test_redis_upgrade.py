"""A real server with what release 0.1 wrote, with another setting than before, or with a damaged state."""

import pytest

from orchestrator.core.commits import Answer
from orchestrator.core.session import KeptStates
from orchestrator.stores.keys import session_keys
from orchestrator.stores.limits import StoreLimits
from support.commits import POLICY, chunk, entry, fresh_session, opened, seed_of
from support.stores import connected

pytestmark = pytest.mark.redis


async def as_before(server, store, commits: int = 2):
    """A session whose keys are made to be as release 0.1 would have left them."""
    writer = await opened(store)
    shared = chunk(b"shared")
    for seq in range(1, commits + 1):
        await writer.commit(chunks=[shared, chunk(b"%d" % seq)])
    keys, state = session_keys(writer.session), await writer.state()
    server.command("DEL", keys.states, keys.counts, keys.chunks)
    server.command("HDEL", keys.record, "oldest", "states", "linked_ms", "cause")
    policy = b'{"tenant":"acme","subject":"ann","limits":{"code_bytes_max":10}}'
    server.command("HSET", keys.record, "policy", policy)
    fields = ("seq", str(state.seq), "generation", str(state.generation), "manifest", state.manifest)
    server.command("HSET", keys.state, *fields, "references", b"".join(state.references))
    for item, data in (shared, chunk(b"%d" % commits)):
        server.command("HSET", keys.chunks, item, data)
        server.command("HSET", keys.counts, item, "1")
    return writer, state


async def test_a_session_of_before_is_read(server):
    """Record, last state and chunks as they were; what did not exist has its default."""
    async with connected(server.url) as store:
        writer, state = await as_before(server, store)
        record = await store.read(writer.session)
        assert (record.policy, record.seq, record.etag) == (POLICY, 2, writer.etag)
        assert (record.cause, record.linked_at) == ("", 0.0)
        assert await store.checkpoint(writer.session) == state
        assert await store.checkpoint(writer.session, 2) == state
        assert await store.checkpoint(writer.session, 1) is None
        assert await store.kept_states(writer.session) == KeptStates((2,), ())
        assert len(await store.chunks(writer.session, state.references)) == 2


async def test_the_next_commit_makes_it_one_of_the_kept_states(server):
    """It is there to go back to, and lets go of its chunks when its turn comes."""
    async with connected(server.url, limits=StoreLimits(states_kept=2)) as store:
        writer, state = await as_before(server, store)
        new = chunk(b"new")
        assert (await writer.commit(chunks=[new], references=[chunk(b"shared")[0], new[0]])).answer is Answer.OK
        assert await store.kept_states(writer.session) == KeptStates((2, 3), ())
        assert await store.checkpoint(writer.session, 2) == state
        assert server.command("EXISTS", session_keys(writer.session).state) == b":0\r\n"
        assert (await writer.rewind(state)).answer is Answer.OK
        await writer.commit()
        wanted = [chunk(b"shared"), chunk(b"2"), new]
        assert await store.chunks(writer.session, [item for item, _ in wanted]) == dict(wanted[:2])
        await writer.commit()
        assert await store.chunks(writer.session, [item for item, _ in wanted]) == {}


async def test_a_session_of_before_is_pinned_forked_and_ended(server):
    """Also when the first thing that is done to it is no commit."""
    async with connected(server.url) as store:
        writer, state = await as_before(server, store)
        assert await writer.pin("p")
        assert await store.checkpoint(writer.session, "p") == state
        child = fresh_session(writer.session)
        assert (await store.fork(writer.session, 2, child, POLICY, seed_of(state))).seq == 2
        await store.end(writer.session)
        assert len(await store.chunks(child, state.references)) == 2
        await store.end(child)
        keys = server.command("KEYS", "*")
        assert (keys.count(b"bascule:"), keys.count(b":record")) == (2, 2)


async def test_a_session_of_before_is_gone_back_in(server):
    """A rewind may be its first commit."""
    async with connected(server.url) as store:
        writer, state = await as_before(server, store)
        assert (await writer.rewind(state)).answer is Answer.OK
        assert (await store.kept_states(writer.session)).seqs == (2, 3)


async def test_fewer_states_are_kept_after_the_setting_shrank(server):
    """A few with each commit, until there are no more than are set; their chunks go with them."""
    async with connected(server.url, limits=StoreLimits(states_kept=6)) as store:
        writer = await opened(store)
        for seq in range(1, 7):
            await writer.commit(chunks=[chunk(b"%d" % seq)])
    async with connected(server.url, limits=StoreLimits(states_kept=2)) as store:
        writer.store = store
        for seq, kept in ((7, (3, 4, 5, 6, 7)), (8, (5, 6, 7, 8)), (9, (7, 8, 9)), (10, (9, 10)), (11, (10, 11))):
            await writer.commit(entry(seq), chunks=[chunk(b"%d" % seq)])
            assert (await store.kept_states(writer.session)).seqs == kept
            wanted = [chunk(b"%d" % number) for number in range(1, 12)]
            found = await store.chunks(writer.session, [item for item, _ in wanted])
            assert found == dict(wanted[number - 1] for number in kept)


async def test_a_state_that_cannot_be_let_go_is_kept(server):
    """Its row is damaged: commits go on, and nothing that it refers to is lost."""
    async with connected(server.url, limits=StoreLimits(states_kept=2)) as store:
        writer = await opened(store)
        for seq in (1, 2):
            await writer.commit(chunks=[chunk(b"%d" % seq)])
        server.command("HDEL", session_keys(writer.session).states, "1:next")
        assert (await writer.commit(chunks=[chunk(b"3")])).answer is Answer.OK
        assert (await store.kept_states(writer.session)).seqs == (1, 2, 3)
        wanted = [chunk(b"%d" % seq) for seq in (1, 2, 3)]
        assert await store.chunks(writer.session, [item for item, _ in wanted]) == dict(wanted)
