"""States of real sandboxes in a real Redis: back, branched off, pinned, and moved between two installations."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.core.principal import Principal
from support.engine_stage import Client, Stage, stage_on
from support.redis_server import RedisServer, binaries
from support.runtimes import bench_of
from support.stores import connected

pytestmark = pytest.mark.redis

KEY = b"e" * 32
ANN = Principal("acme", "ann")
PREPARE = "import random; random.seed(7); big = bytes(range(256)) * 8000; open('note.txt', 'w').write('v1'); x = 1"
BOTH = [
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param("docker", marks=pytest.mark.docker),
]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test's own."""
    made = RedisServer(next(iter(binaries().values())), tmp_path)
    yield made
    made.kill()


@contextlib.asynccontextmanager
async def served(kind: str, redis: RedisServer, **settings: object) -> AsyncIterator[Stage]:
    """An installation on that runtime and this store."""
    async with (
        connected(redis.url) as store,
        bench_of(kind) as bench,
        stage_on(bench.make(), store=store, export_key=KEY, **settings) as made,
    ):
        yield made


async def prepared(made: Stage) -> tuple[Client, str]:
    """States 1 and 2, which differ in a name and a file; the large name is the same chunks in both."""
    client, session = await made.opened()
    await client.eval(PREPARE)
    await client.eval("x = 2; open('note.txt', 'w').write('v2'); None")
    return client, session


async def seen(made: Stage, session: str, code: str = "x, open('note.txt').read(), len(big)") -> str:
    """What a session says."""
    client = made.connect(session=session)
    try:
        return str((await client.eval(code))["output"])
    finally:
        await client.hang_up()


@pytest.mark.parametrize("kind", BOTH)
async def test_names_and_files_go_back_and_branch_off(kind: str, redis: RedisServer):
    """Each copy has its own; ending the one that it came from takes nothing from it."""
    async with served(kind, redis) as made:
        client, session = await prepared(made)
        pinned = (await client.ask("pin", {"name": "lesson", "seq": 1}))["payload"]
        fork = (await client.ask("fork"))["payload"]["session"]
        back = (await client.ask("rewind", {"seq": 1}))["payload"]
        begun = (await made.connect().ask("open", {"from": {"session": session, "pin": "lesson"}}))["payload"]

        assert (pinned["seq"], back["seq"], back["to"], back["unsaved"]) == (1, 3, 1, {})
        assert await seen(made, session) == "(1, 'v1', 2048000)"
        assert await seen(made, fork) == "(2, 'v2', 2048000)"
        await client.ask("close")
        assert await seen(made, begun["session"]) == "(1, 'v1', 2048000)"
        drawn = [await seen(made, copy, "random.random()") for copy in (fork, begun["session"])]
        assert len(set(drawn)) == 2


@pytest.mark.parametrize("kind", BOTH)
async def test_a_session_moves_to_another_installation(kind: str, redis: RedisServer, tmp_path_factory):
    """The file alone: the other store knows nothing of this one, and has another seal key."""
    other = RedisServer(next(iter(binaries().values())), tmp_path_factory.mktemp("other"))
    try:
        async with served(kind, redis) as here, served(kind, other, seal_key=b"x" * 32) as there:
            _, session = await prepared(here)
            pieces = await here.engine.transfers.export(ANN, session)
            said = await there.engine.transfers.import_(ANN, "i", pieces)

            assert await seen(there, said["session"]) == "(2, 'v2', 2048000)"
            assert (said["seq"], said["origin"]) == (2, session)
    finally:
        other.kill()


@pytest.mark.bubblewrap
async def test_states_outlive_store_and_front_door(redis: RedisServer):
    """Both are killed; what was kept is kept."""
    async with served("bubblewrap", redis) as made:
        client, session = await prepared(made)
        await client.ask("pin", {"name": "lesson", "seq": 1})
        redis.restart()
        await made.start()
        later = made.connect(session=session)
        kept = (await later.ask("history"))["payload"]
        back = (await later.ask("rewind", {"seq": 1}))["payload"]

        assert (kept["states"], [pin["name"] for pin in kept["pins"]], back["seq"]) == ([1, 2], ["lesson"], 3)
        assert await seen(made, session) == "(1, 'v1', 2048000)"
