"""A real server that can't write its file, rewrites it under load, or gets more at once than it can take."""

import asyncio
import contextlib
import resource
import secrets

import pytest

from orchestrator.core.commits import Answer, Entry
from orchestrator.stores.redis import commits
from replwire.errors import WireError
from support.commits import POLICY, chunk, fresh_session, opened
from support.stores import away, connected

pytestmark = pytest.mark.redis

MIB = 1 << 20


@contextlib.contextmanager
def full_disk(server):
    """No file of the server's can grow: what a full disk is to it."""
    size = sum(path.stat().st_size for path in (server.folder / "appendonlydir").iterdir())
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    yield
    if server.process.poll() is None:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


async def test_s12_a_full_disk_ends_a_server_that_syncs_always_and_loses_nothing(server):
    """It ends rather than to go on without its file: nothing was told as committed, and what had been is there."""
    async with connected(server.url) as store:
        writer = await opened(store)
        assert (await writer.commit(chunks=[chunk(b"state 0")])).answer is Answer.OK
        commit = writer.next_commit(chunks=[chunk(secrets.token_bytes(MIB))])
        with full_disk(server):
            with away("unreachable"):
                await store.commit(commit)
            await asyncio.to_thread(server.process.wait, 10)
        server.start()
        assert (await store.read(writer.session)).seq == 1
        assert (await store.commit(commit)).answer is Answer.OK


async def test_s12_a_full_disk_is_told_by_a_server_that_syncs_later(make_server):
    """It refuses writes until it can write again: `misconf`, with no effect, and then it goes on."""
    server = make_server(appendfsync="everysec")
    async with connected(server.url) as store:
        writer = await opened(store)
        await writer.commit()
        large = [chunk(secrets.token_bytes(MIB))]
        with full_disk(server):
            # The write that finds the disk full was answered before: as memory, for it was not synced.
            with contextlib.suppress(WireError):
                assert (await writer.commit(chunks=large)).durable == "memory"
            async with asyncio.timeout(20):
                while True:
                    try:
                        await store.create(fresh_session(), POLICY)
                    except WireError as error:
                        assert error.details["cause"] == "misconf"
                        break
                    await asyncio.sleep(0.05)
            seq = (await store.read(writer.session)).seq
            with away("misconf"):
                await writer.commit()
            assert (await store.read(writer.session)).seq == seq
            assert any("append-only file failed" in warning for warning in (await store.facts()).warnings)
        async with asyncio.timeout(20):
            while True:
                try:
                    reply = await writer.commit()
                    break
                except WireError:
                    await asyncio.sleep(0.1)
        assert reply.answer is Answer.OK


async def test_s22_commits_go_on_while_the_file_is_rewritten(server):
    """Large ones of many sessions: each is answered, and each that was is there after a kill."""
    async with connected(server.url) as store:
        writers = await asyncio.gather(*(opened(store) for _ in range(10)))
        for number in range(3):
            assert server.command("BGREWRITEAOF").startswith((b"+", b"-ERR Background"))
            for writer in writers:
                reply = await writer.commit(chunks=[chunk(secrets.token_bytes(MIB // 2) + bytes([number]))])
                assert (reply.answer, reply.durable) == (Answer.OK, "fsync")
        server.restart()
        for writer in writers:
            assert (await store.read(writer.session)).seq == writer.seq == 3
            state = await store.checkpoint(writer.session)
            assert set(await store.chunks(writer.session, state.references)) == set(writer.references)


async def test_s23_a_thousand_commits_at_once_are_queued_and_all_made(server):
    """One connection serves them, in a few batches; other calls have their own."""
    sizes: list[int] = []
    async with connected(server.url, on_batch=sizes.append) as store:
        writers = [writer for _ in range(20) for writer in await asyncio.gather(*(opened(store) for _ in range(50)))]
        replies = await asyncio.gather(*(writer.commit() for writer in writers))
        assert {reply.answer for reply in replies} == {Answer.OK}
        assert sum(sizes) == 1000 and len(sizes) <= 20


async def test_s23_what_waits_is_bounded(server, monkeypatch):
    """Beyond the bound a commit is refused at once; those that wait are made."""
    monkeypatch.setattr(commits, "WAITING_BYTES_MAX", 3 * MIB)
    async with connected(server.url) as store:
        writers = [await opened(store) for _ in range(6)]
        large = [Entry(1, "request-1", b"h" * 32, secrets.token_bytes(MIB)) for _ in writers]
        made = [writer.commit(entry) for writer, entry in zip(writers, large, strict=True)]
        found = await asyncio.gather(*made, return_exceptions=True)
        refused = [error.details["cause"] for error in found if isinstance(error, WireError)]
        assert refused and set(refused) == {"queue"}
        assert [reply.answer for reply in found if not isinstance(reply, WireError)] == [Answer.OK] * (6 - len(refused))
        assert len(refused) < 6
