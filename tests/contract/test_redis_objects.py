"""A real server beside a blob store: what lies where, what goes with it, and what a crash leaves."""

import pytest

from orchestrator.core.commits import Answer
from orchestrator.core.ids import lineage_of
from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.blobs_memory import MemoryBlobs
from orchestrator.stores.keys import session_keys
from orchestrator.stores.limits import OBJECT_BYTES_MIN, StoreLimits
from orchestrator.stores.redis.wire import script
from replwire.errors import WireError
from support.commits import chunk, fresh_session, opened
from support.cutting_proxy import CuttingProxy
from support.stores import away, behind_proxy, connected

pytestmark = pytest.mark.redis

SMALL, LARGE = chunk(b"small"), chunk(b"large" * OBJECT_BYTES_MIN)
OTHER = chunk(b"other" * OBJECT_BYTES_MIN)
MARKER_BYTES = 111


@pytest.fixture
async def blobs(tmp_path):
    """A folder that is empty."""
    made = FolderBlobs(tmp_path / "blobs")
    yield made
    await made.close()


async def listed(blobs):
    """The names of all objects."""
    return [name async for name in blobs.names("")]


async def test_large_chunks_are_objects_and_small_ones_are_not(server, blobs):
    """The server holds the name of the one and the bytes of the other; both are read alike."""
    async with connected(server.url, blobs=blobs) as store:
        writer = await opened(store)
        assert (await writer.commit(chunks=[SMALL, LARGE])).answer is Answer.OK
        (name,) = await listed(blobs)
        assert name.startswith(f"{lineage_of(writer.session)}/{LARGE[0].hex()}-")
        assert await blobs.get(name) == LARGE[1]
        chunks = session_keys(writer.session).chunks
        marker = b"\0" + name.encode()
        assert len(marker) == MARKER_BYTES
        assert f"MARKER_BYTES = {MARKER_BYTES}\n" in script("commit").source.decode()
        assert server.command("HGET", chunks, LARGE[0]) == b"$%d\r\n%b\r\n" % (MARKER_BYTES, marker)
        assert await store.chunks(writer.session, writer.references) == dict([SMALL, LARGE])


async def test_an_object_goes_with_its_chunk(server, blobs):
    """Let go by a commit, a pin that is let go, a sweep of what nobody took: the next sweep deletes it."""
    async with connected(server.url, blobs=blobs, limits=StoreLimits(states_kept=1, chunk_grace_s=0)) as store:
        writer = await opened(store)
        await writer.commit(chunks=[LARGE])
        assert await writer.pin("p")
        await writer.commit(chunks=[OTHER])
        await store.sweep_chunks()
        assert len(await listed(blobs)) == 2
        await store.unpin(writer.session, "p")
        await store.put(writer.session, [chunk(b"never" * OBJECT_BYTES_MIN)])
        assert await store.sweep_chunks() == 1
        (name,) = await listed(blobs)
        assert OTHER[0].hex() in name
        assert server.command("EXISTS", session_keys(writer.session).garbage) == b":0\r\n"
        await writer.commit(chunks=[LARGE])
        assert await store.chunks(writer.session, [LARGE[0]]) == dict([LARGE])


async def test_much_garbage_goes_in_one_sweep(server, blobs):
    """Of several lineages, more than one call takes."""
    async with connected(server.url, blobs=blobs, object_bytes_min=1, limits=StoreLimits(states_kept=1)) as store:
        for _ in range(3):
            writer = await opened(store)
            await writer.commit(chunks=[chunk(b"%d" % number) for number in range(150)])
            await writer.commit(chunks=[SMALL])
        assert len(await listed(blobs)) == 453
        await store.sweep_chunks()
        assert len(await listed(blobs)) == 3


async def test_the_objects_of_a_lineage_go_with_its_last_session(server, blobs):
    """And no other's."""
    async with connected(server.url, blobs=blobs) as store:
        writer, other = await opened(store), await opened(store)
        for each in (writer, other):
            await each.commit(chunks=[LARGE, OTHER])
        await store.end(writer.session)
        await store.sweep_chunks()
        assert {name.split("/")[0] for name in await listed(blobs)} == {lineage_of(other.session)}
        assert await store.chunks(other.session, other.references) == dict([LARGE, OTHER])


def name_of(session, item, at_ms, random="0f" * 8):
    """As an object is named."""
    return f"{lineage_of(session)}/{item.hex()}-{at_ms:012x}{random}"


async def test_what_a_crash_left_is_found_by_its_age(server, blobs):
    """Never named, named no more, of a lineage that is gone; but nothing young, named, or of somebody else."""
    async with connected(server.url, blobs=blobs) as store:
        writer = await opened(store)
        await writer.commit(chunks=[LARGE])
        young = await listed(blobs)
        old = name_of(writer.session, OTHER[0], 1)
        keys = session_keys(writer.session)
        server.command("HSET", keys.chunks, OTHER[0], b"\0" + old.encode())
        server.command("HSET", keys.counts, OTHER[0], "1")
        strays = [
            name_of(writer.session, OTHER[0], 2),
            name_of(writer.session, SMALL[0], 3),
            name_of(fresh_session(), LARGE[0], 4),
        ]
        for name in (old, *strays, "somebody/elses", name_of(writer.session, SMALL[0], 0xFFFFFFFFFFFF)):
            await blobs.put(name, OTHER[1])
        await store.sweep_chunks()
        left = {*young, old, "somebody/elses", name_of(writer.session, SMALL[0], 0xFFFFFFFFFFFF)}
        assert set(await listed(blobs)) == left
        assert await store.chunks(writer.session, [OTHER[0]]) == dict([OTHER])


async def test_an_object_is_named_in_time_or_not_at_all(server, blobs):
    """As when the server hung in between: by then the object may have been taken for one that a crash left."""
    async with connected(server.url, blobs=blobs, limits=StoreLimits(object_grace_s=-1)) as store:
        writer = await opened(store)
        with away("late"):
            await writer.commit(chunks=[LARGE])
        assert server.command("EXISTS", session_keys(writer.session).chunks) == b":0\r\n"
        await store.sweep_chunks()
        assert await listed(blobs) == []


async def test_the_same_content_has_one_object(server, blobs):
    """Put again while it is there, or for a session that is gone: what is not named is deleted at once."""
    async with connected(server.url, blobs=blobs) as store:
        writer = await opened(store)
        await writer.commit(chunks=[LARGE])
        before = await listed(blobs)
        await store.put(writer.session, [LARGE])
        assert await listed(blobs) == before
        late = writer.next_commit(chunks=[OTHER])
        await store.end(writer.session)
        assert (await store.commit(late)).answer is Answer.FENCED
        await store.sweep_chunks()
        assert await listed(blobs) == []


class Losing(MemoryBlobs):
    """A blob store after whose `put` the server's next answer is lost."""

    proxy: CuttingProxy | None = None

    async def put(self, name, data):
        """As it is, and then."""
        await super().put(name, data)
        if self.proxy is not None:
            self.proxy.lose_replies = 1


async def test_a_put_whose_answer_was_lost_keeps_its_object(make_server):
    """Asked again, the server finds the name that it was given: that object is the one that is used."""
    blobs = Losing()
    async with behind_proxy(make_server(), blobs=blobs) as (store, proxy):
        writer = await opened(store)
        await store.put(writer.session, [OTHER])
        blobs.proxy = proxy
        await store.put(writer.session, [LARGE, LARGE])
        assert proxy.lose_replies == 0
        assert len(await listed(blobs)) == 2
        assert (await writer.commit(references=[LARGE[0]])).answer is Answer.OK
        assert await store.chunks(writer.session, [LARGE[0]]) == dict([LARGE])


class Away(MemoryBlobs):
    """A blob store that can be switched off."""

    is_away = False

    def _check(self) -> None:
        if self.is_away:
            raise WireError("store_unavailable", "the blob store is away: test", retry_after_ms=1, cause="test")

    async def put(self, name, data):
        """When it is there."""
        self._check()
        await super().put(name, data)

    async def get(self, name):
        """Likewise."""
        self._check()
        return await super().get(name)

    async def delete(self, name):
        """Likewise."""
        self._check()
        await super().delete(name)


async def test_a_blob_store_that_is_away_is_a_store_that_is_away(server):
    """Nothing is committed, small commits go on, what is to be deleted waits."""
    blobs = Away()
    async with connected(server.url, blobs=blobs, limits=StoreLimits(states_kept=1)) as store:
        writer = await opened(store)
        await writer.commit(chunks=[LARGE])
        blobs.is_away = True
        with away("test"):
            await writer.commit(chunks=[OTHER])
        with away("test"):
            await store.chunks(writer.session, [LARGE[0]])
        assert (await store.read(writer.session)).seq == 1
        assert (await writer.commit(chunks=[SMALL])).answer is Answer.OK
        await store.sweep_chunks()
        blobs.is_away = False
        assert len(await listed(blobs)) == 1
        await store.sweep_chunks()
        assert await listed(blobs) == []


async def test_an_object_that_is_not_there_is_an_absent_chunk(server, blobs):
    """And a name that is none is damage."""
    async with connected(server.url, blobs=blobs) as store:
        writer = await opened(store)
        await writer.commit(chunks=[LARGE, SMALL])
        (name,) = await listed(blobs)
        await blobs.delete(name)
        assert await store.chunks(writer.session, writer.references) == dict([SMALL])
        server.command("HSET", session_keys(writer.session).chunks, LARGE[0], b"\0../../etc/passwd")
        with pytest.raises(WireError) as caught:
            await store.chunks(writer.session, [LARGE[0]])
        assert (caught.value.code, caught.value.details["cause"]) == ("internal", "damaged")


async def test_a_chunk_that_was_lost_sight_of_is_found(server):
    """In the server, of no state, and not waiting: it begins to wait, and goes after the grace. Nothing else does."""
    async with connected(server.url, limits=StoreLimits(chunk_grace_s=600)) as store:
        writer = await opened(store)
        await writer.commit(chunks=[LARGE])
        await store.put(writer.session, [OTHER])
        keys = session_keys(writer.session)
        leaks = [chunk(b"leak %d" % number) for number in range(1200)]
        server.command("HSET", keys.chunks, *(part for leak in leaks for part in leak))
        assert await store.sweep_chunks() == 0
        assert server.command("ZCARD", keys.uncounted) == b":1201\r\n"
        assert await store.chunks(writer.session, [leaks[0][0]]) == dict(leaks[:1])
    async with connected(server.url, limits=StoreLimits(chunk_grace_s=0)) as store:
        assert await store.sweep_chunks() == 1201
        assert server.command("HKEYS", keys.chunks) == b"*1\r\n$32\r\n%b\r\n" % LARGE[0]
