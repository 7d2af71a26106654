"""Results that went out before their commit, with a store that hangs: what becomes of them is told in the end."""

from __future__ import annotations

import asyncio

import pytest

from bascule import AsyncClient, Client, RolledBackError, TimeoutError
from bascule.execution import AsyncExecution
from support.network import network
from support.redis_server import RedisServer
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]


def assert_kept(execution: AsyncExecution) -> None:
    """Nothing is called committed that is not."""
    assert (execution.text, execution.state, execution.durable, execution.etag) == ("1", "kept", "none", None)


async def test_the_commit_comes_when_the_store_is_back(on_bubblewrap: Server, redis_server: RedisServer):
    """The execution changes from `kept` to `committed` by itself."""
    async with AsyncClient(TOKEN, on_bubblewrap.url) as client, client.open() as session:
        await session.run("x = 1")
        redis_server.pause()
        execution = await session.run("x")
        assert_kept(execution)
        waiting = asyncio.create_task(execution.wait_committed())
        redis_server.resume()
        await waiting
        assert (execution.state, execution.durable, session.seq) == ("committed", "fsync", 2)
        assert execution.etag == session.etag


async def test_a_commit_whose_word_was_lost_is_asked_for(on_bubblewrap: Server, redis_server: RedisServer):
    """The connection is lost while the store hangs; afterwards the id is asked for, and nothing runs again."""
    async with (
        network(on_bubblewrap.url) as between,
        AsyncClient(TOKEN, between.url, reconnect_delay_max_s=0.5) as client,
        client.open() as session,
    ):
        await session.run("x = 0")
        redis_server.pause()
        execution = await session.run("x += 1\nx")
        assert_kept(execution)
        between.reset()
        redis_server.resume()
        await execution.wait_committed()
        assert (execution.state, execution.durable) == ("committed", "fsync")
        assert (await session.run("x")).text == "1"


async def test_what_was_never_committed_is_told_as_undone(on_bubblewrap: Server, redis_server: RedisServer):
    """The store dies before it looked at the commit, then the server, and the worker with it: it did not happen."""
    async with (
        AsyncClient(TOKEN, on_bubblewrap.url, reconnect_delay_max_s=0.5) as client,
        client.open() as session,
    ):
        await session.run("x = 0")
        redis_server.pause()
        execution = await session.run("x += 1\nx")
        assert_kept(execution)
        redis_server.kill()
        await on_bubblewrap.kill()
        redis_server.start()
        await on_bubblewrap.start()
        with pytest.raises(RolledBackError):
            await execution.wait_committed()
        assert (await session.run("x")).text == "0"


def test_the_wait_has_a_limit_without_asyncio(on_bubblewrap: Server, redis_server: RedisServer):
    """`wait_committed(timeout)`."""
    with Client(TOKEN, on_bubblewrap.url) as client, client.open() as session:
        session.run("x = 1")
        redis_server.pause()
        execution = session.run("x")
        try:
            with pytest.raises(TimeoutError):
                execution.wait_committed(0.2)
        finally:
            redis_server.resume()
        execution.wait_committed(30)
        assert execution.state == "committed"
