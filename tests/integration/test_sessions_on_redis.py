"""Sessions over a Redis that is full, forgetful, killed, put back to an older file or emptied, on each server here."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.engine_stage import Stage, stage
from support.redis_server import RedisServer, binaries
from support.runtimes import eventually
from support.stores import connected

pytestmark = pytest.mark.redis


@pytest.fixture(params=list(binaries().values()), ids=list(binaries()))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test's own."""
    made = RedisServer(request.param, tmp_path)
    yield made
    made.kill()


@contextlib.asynccontextmanager
async def served(server: RedisServer) -> AsyncIterator[Stage]:
    """An engine over it, which looks at its store often."""
    async with connected(server.url) as store, stage(store=store, sweep_interval_s=0.2, commit_wait_ms=500) as made:
        yield made


async def test_a_full_store_keeps_the_result_and_takes_nothing_new(server: RedisServer):
    """Refused before the first effect; with room again it is committed, and the session goes on."""
    async with served(server) as made:
        client, _ = await made.opened()
        await client.eval("n = 1")
        server.command("CONFIG", "SET", "maxmemory", "1")
        kept = await client.eval("n = 2")
        refused = (await client.ask("eval", {"code": "n = 3"}))["payload"]
        server.command("CONFIG", "SET", "maxmemory", "0")
        told = (await client.wait_for(lambda e: e["type"] == "committed"))["payload"]

        assert (kept["state"], kept["durable"], "etag" in kept) == ("kept", "none", False)
        assert refused["code"] == "store_unavailable" and refused["retry_after_ms"]
        assert (told["seq"], told["durable"]) == (kept["seq"], "fsync")
        assert (await client.eval("n"))["output"] == "2"


async def test_a_store_that_forgot_its_scripts_or_was_killed_is_used_again(server: RedisServer):
    """NOSCRIPT, and a connection that is gone, cost nothing that was committed."""
    async with served(server) as made:
        client, _ = await made.opened()
        await client.eval("n = 1")
        server.command("SCRIPT", "FLUSH")
        assert (await client.eval("n += 1"))["state"] == "committed"
        server.restart()
        assert (await client.eval("n += 1"))["state"] == "committed"
        first = await client.ask("eval", {"code": "n"}, id_="once")
        again = await client.ask("eval", {"code": "n"}, id_="once")

        assert first["payload"]["output"] == again["payload"]["output"] == "3"
        assert again["payload"]["durable"] == "fsync"


async def test_an_older_file_is_session_regressed_and_the_session_goes_on(server: RedisServer):
    """Told to who asked and to who listens, with the last seq that holds; a client of the future is told too."""
    async with served(server) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        await asyncio.to_thread(server.settle)
        shutil.copytree(server.folder / "appendonlydir", server.folder / "older")
        await client.eval("n = 2")
        server.kill()
        shutil.rmtree(server.folder / "appendonlydir")
        (server.folder / "older").rename(server.folder / "appendonlydir")
        server.start()
        answer = (await client.ask("eval", {"code": "n"}))["payload"]
        told = (await client.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]
        other = made.connect()
        await other.attach(session, "9.9")

        assert (answer["code"], answer["seq"]) == ("session_regressed", 1)
        assert (told["to"], told["cause"]) == (1, "session_regressed")
        assert other.events("rolled_back")[0]["payload"]["cause"] == "session_regressed"
        assert (await client.eval("n"))["output"] == "1"


async def test_an_emptied_store_ends_the_session_and_serves_new_ones(server: RedisServer):
    """Never an empty session of the same id."""
    async with served(server) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        server.command("FLUSHALL")
        answer = await client.ask("eval", {"code": "n"})
        attached = await made.connect().ask("attach", {"session": session})

        assert answer["payload"]["code"] == "session_gone"
        assert attached["payload"]["code"] == "not_found"
        assert await eventually(lambda: made.engine._sessions.live == ())
        assert (await (await made.opened())[0].eval("1"))["state"] == "committed"
