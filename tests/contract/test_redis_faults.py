"""A real server that hangs, goes away, is killed, or has a torn file."""

import asyncio
import contextlib
import os
import random
import secrets
import time

import pytest

from contract.conftest import SERVERS
from orchestrator.core.commits import Answer
from orchestrator.core.intents import Intent
from orchestrator.core.session import Pin, Seed
from orchestrator.ports import Raised
from orchestrator.stores.keys import REWRITTEN_KEY
from orchestrator.stores.redis import RedisStore
from orchestrator.stores.redis.torn_end import REFUSED
from replwire.errors import WireError
from support.commits import POLICY, Writer, chunk, claim, entry, fresh_session, opened
from support.stores import away, connected

pytestmark = pytest.mark.redis

CALL_MAX_S = 2.5


def calls(store: RedisStore, writer: Writer):
    """Every call of the port, as functions that make a coroutine."""

    async def listed():
        return [record async for record in store.sessions()]

    session = writer.session
    back, seed = writer.next_commit(), Seed(9, writer.etag, b"manifest", ())
    intent = Intent(session, writer.generation, writer.nonce, "request-9", b"h" * 32, "acme/ann")
    return {
        "facts": store.facts,
        "create": lambda: store.create(fresh_session(), POLICY),
        "read": lambda: store.read(session),
        "raise": lambda: store.raise_generation(session, 1, "front", 1.0),
        "commit": lambda: store.commit(writer.next_commit()),
        "intend": lambda: store.intend([intent]),
        "withdraw": lambda: store.withdraw([intent]),
        "checkpoint": lambda: store.checkpoint(session),
        "chunks": lambda: store.chunks(session, [b"c" * 32]),
        "known_ids": lambda: store.known_ids(session),
        "outcome": lambda: store.outcome(session, "request-1"),
        "journal": lambda: store.journal(session, 1, 2),
        "touch": lambda: store.touch([session]),
        "sessions": listed,
        "sweep": store.sweep_chunks,
        "end": lambda: store.end(session),
        "park": lambda: store.park(session, Raised(writer.generation, writer.nonce), 1, 1e11),
        "rewind": lambda: store.rewind(back, 1, Raised(writer.generation + 1, "n"), "front", 1.0),
        "kept_states": lambda: store.kept_states(session),
        "pin": lambda: store.pin(session, Pin("p", 1, writer.etag)),
        "unpin": lambda: store.unpin(session, "p"),
        "fork": lambda: store.fork(session, 1, fresh_session(session), POLICY, seed),
        "put": lambda: store.put(fresh_session(), [chunk(b"data")]),
        "plant": lambda: store.plant(fresh_session(), POLICY, seed, [writer.next_commit().entries[0]]),
    }


async def test_s06_a_hung_server_fails_every_call_in_time(server):
    """Each within 2.5 s, all at once as well, and afterwards it works again by itself."""
    async with connected(server.url) as store:
        writer = await opened(store)
        await writer.commit()
        server.pause()

        async def timed(call) -> float:
            started = time.monotonic()
            with away("timeout"):
                await call()
            return time.monotonic() - started

        try:
            took = await asyncio.gather(*(timed(call) for call in calls(store, writer).values()))
            late = await asyncio.gather(timed(lambda: store.commit(writer.next_commit())))
        finally:
            server.resume()
        assert max(*took, *late) <= CALL_MAX_S
        assert (await store.read(writer.session)) is not None
        other = await opened(store)
        assert (await other.commit()).answer is Answer.OK


async def test_a_commit_that_comes_while_one_hangs_does_not_wait_for_two(server):
    """What waits behind a batch that is not answered hears of it with it."""
    async with connected(server.url) as store:
        writers = [await opened(store), await opened(store)]
        await writers[0].commit()
        server.pause()
        try:
            first = asyncio.create_task(writers[0].commit())
            await asyncio.sleep(1.0)
            started = time.monotonic()
            with away("timeout"):
                await writers[1].commit()
            assert time.monotonic() - started <= CALL_MAX_S
            with away("timeout"):
                await first
        finally:
            server.resume()


async def test_a_server_that_is_away_is_told_at_once(make_server):
    """No socket, no wait; and it is found again when it is back."""
    server = make_server()
    async with connected(server.url) as store:
        writer = await opened(store)
        await writer.commit()
        server.kill()
        for call in calls(store, writer).values():
            started = time.monotonic()
            with away("unreachable"):
                await call()
            assert time.monotonic() - started < 1.0
        server.start()
        assert (await writer.commit()).answer is Answer.OK


async def test_s04_what_was_told_as_committed_is_there_after_a_kill(server):
    """Killed with -9 under load, again and again: each OK is in the file, at its number."""
    async with connected(server.url) as store:
        writers = await asyncio.gather(*(opened(store) for _ in range(10)))
        stopped = asyncio.Event()

        async def work(writer: Writer) -> None:
            while not stopped.is_set():
                commit = writer.next_commit(chunks=[chunk(secrets.token_bytes(100))])
                try:
                    while (await store.commit(commit)).answer not in (Answer.OK, Answer.DUP):
                        raise AssertionError("a commit of the only writer was refused")
                except WireError:
                    await asyncio.sleep(0.01)
                    continue_with = await _until_answered(store, commit, stopped)
                    if not continue_with:
                        return
                writer.accept(commit)

        tasks = [asyncio.create_task(work(writer)) for writer in writers]
        for _ in range(3):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.restart)
        await asyncio.sleep(0.1)
        stopped.set()
        await asyncio.gather(*tasks)
        for writer in writers:
            record = await store.read(writer.session)
            assert record.seq >= writer.seq > 0
            assert len(await store.journal(writer.session, 1, writer.seq)) == writer.seq
            state = await store.checkpoint(writer.session)
            assert set(await store.chunks(writer.session, state.references)) == set(state.references)


async def _until_answered(store: RedisStore, commit, stopped: asyncio.Event) -> bool:
    while not stopped.is_set():
        with contextlib.suppress(WireError):
            return (await store.commit(commit)).answer in (Answer.OK, Answer.DUP)
        await asyncio.sleep(0.01)
    return False


async def test_s13_a_file_cut_anywhere_is_a_prefix(server):
    """A torn append-only file: as many commits as are whole, each with all that belongs to it, and no more."""
    async with connected(server.url) as store:
        writer = await opened(store)
        for _ in range(12):
            await writer.commit(chunks=[chunk(b"state %d" % writer.seq)])
    server.kill()
    (file,) = (server.folder / "appendonlydir").glob("*.incr.aof")
    whole = file.read_bytes()
    start = whole.index(b"request-1\r\n")
    seqs = []
    for _ in range(8):
        file.write_bytes(whole[: random.randrange(start, len(whole))])
        server.start()
        async with connected(server.url) as store:
            seqs.append(await _checked_seq(store, writer.session))
        server.kill()
    assert 0 <= min(seqs) <= max(seqs) <= 12


@pytest.mark.parametrize("kind", list(SERVERS))
async def test_s13_what_a_crash_tore_does_not_come_back(make_server, kind):
    """The torn commit lacks its last word; the server leaves the rest of it in the file, and would carry it out at its
    next start but one."""
    server = make_server(kind)
    async with connected(server.url) as store:
        writer = await opened(store)
        for _ in range(3):
            await writer.commit(chunks=[chunk(b"state %d" % writer.seq)])
    server.kill()
    os.truncate(server.file, server.file.read_bytes().rindex(b"EXEC") - 2)
    server.start()
    async with connected(server.url) as store:
        await until_rewritten(store, server)
        after = await claim(store, writer.session, writer.generation)
        assert after.seq == 2
        await after.commit(entry(3, "instead"), chunks=[chunk(b"state 2")])
    server.restart()
    async with connected(server.url) as store:
        assert await _checked_seq(store, writer.session) == 3
        assert [known.request_id for known in await store.known_ids(writer.session)] == [
            "request-1", "request-2", "instead",
        ]  # fmt: skip


async def test_a_file_is_written_anew_once_for_each_start(server):
    """Whichever front door comes first asks for it, and the next one sees that it is done."""
    async with connected(server.url) as first, connected(server.url) as second:
        await until_rewritten(first, server)
        names = {path.name for path in (server.folder / "appendonlydir").iterdir()}
        for _ in range(3):
            assert (await second.facts()).warnings == ()
        assert {path.name for path in (server.folder / "appendonlydir").iterdir()} == names


async def test_who_may_not_have_it_written_anew_says_so(make_server):
    """Everything else works; so it is with a Redis of a provider that does not offer the command."""
    server = make_server()
    server.command("ACL", "SETUSER", "front", "on", ">secret", "~*", "+@all", "-bgrewriteaof")
    async with connected(f"unix://front@{server.socket}", password="secret") as store:
        assert (await store.facts()).warnings == (REFUSED,)
        assert (await (await opened(store)).commit()).answer is Answer.OK
        assert (await store.facts()).warnings == (REFUSED,)


async def until_rewritten(store: RedisStore, server) -> None:
    """Ask what the server is, as a front door does now and then, until it is noted that the file is new."""
    async with asyncio.timeout(10):
        while server.command("EXISTS", REWRITTEN_KEY) != b":1\r\n":
            await store.facts()


async def _checked_seq(store: RedisStore, session: str) -> int:
    """The seq, after everything was compared with it."""
    record, state = await store.read(session), await store.checkpoint(session)
    assert record is not None
    expected = list(range(1, record.seq + 1))
    assert [known.seq for known in await store.known_ids(session)] == expected
    assert [seq for seq, _ in await store.journal(session, 1, 99)] == expected
    assert (state.seq if state else 0) == record.seq
    if state:
        assert await store.chunks(session, state.references) == dict([chunk(b"state %d" % (state.seq - 1))])
    return record.seq
