"""`bascule serve` on a Redis of others: one that refuses it, one that loses data, one that comes late."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.client import connect
from support.redis_server import RedisServer, binaries
from support.server import TOKEN
from support.serving import START_TIMEOUT_S, logged, ready, serving

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]


@asynccontextmanager
async def serving_with(
    redis: RedisServer, state: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server on that Redis."""
    words = ("--runtime", "bubblewrap", "--redis-url", redis.url, "--port", "0", "--state-dir", str(state / "state"))
    async with serving(*words, **environment) as process:
        yield process


@pytest.fixture
def guarded_redis(state: Path) -> Iterator[RedisServer]:
    """It asks for a password, and loses what it has when it ends."""
    server = RedisServer(next(iter(binaries().values())), state, requirepass="right", appendonly="no")
    yield server
    server.kill()


@pytest.mark.parametrize("environment", [{}, {"BASCULE_REDIS__PASSWORD": "wr0ng"}])
async def test_a_redis_that_refuses_us_is_said_at_once(
    guarded_redis: RedisServer, state: Path, environment: dict[str, str]
) -> None:
    """Without its password, or with another, no waiting helps: exit code 1, where to look, and no secret."""
    async with serving_with(guarded_redis, state, **environment) as process:
        out, err = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
        assert (process.returncode, out) == (1, b"")
        assert err.splitlines()[-1].startswith(b"Error: the Redis refuses us: look at the user and password")
        assert b"wr0ng" not in err


async def test_s01_s10_a_redis_that_loses_data_is_warned_of_and_one_that_comes_late_is_waited_for(
    guarded_redis: RedisServer, state: Path
) -> None:
    """The settings that lose data are in the log; while it is away the server lives and is not ready."""
    async with serving_with(guarded_redis, state, BASCULE_REDIS__PASSWORD="right") as process:
        await ready(process)
        assert "appendonly is off" in await logged(process, "store doubted")
    guarded_redis.kill()
    async with serving_with(guarded_redis, state, BASCULE_REDIS__PASSWORD="right") as process:
        url = (await ready(process)).replace("ws:", "http:")
        async with aiohttp.ClientSession() as http:
            async with http.get(url + "/livez") as answer:
                assert answer.status == 200
            async with http.get(url + "/readyz?verbose") as answer:
                assert (answer.status, "[-] store: the store is away" in await answer.text()) == (503, True)
            async with connect(url.replace("http:", "ws:"), TOKEN) as client:
                refused = await client.ask("eval", {"code": "6 * 7"})
                assert refused["payload"]["code"] == "store_unavailable"
                guarded_redis.start()
                async with asyncio.timeout(START_TIMEOUT_S):
                    while await status_of(http, url + "/readyz") != 200:
                        await asyncio.sleep(0.1)
                assert (await client.eval("6 * 7"))["output"] == "42"


async def status_of(http: aiohttp.ClientSession, url: str) -> int:
    """What a probe sees."""
    async with http.get(url) as answer:
        return answer.status


async def test_large_state_lies_in_the_folder_that_is_set(tmp_path: Path, state: Path) -> None:
    """It is there for the next server, which is told the same folder; the session's end empties it."""
    redis, folder = RedisServer(next(iter(binaries().values())), state), tmp_path / "blobs"
    settings = {"BASCULE_BLOBS__FOLDER": str(folder), "BASCULE_ENGINE__SWEEP_INTERVAL_S": "0.05"}
    try:
        async with serving_with(redis, state, **settings) as process:
            async with connect(await ready(process), TOKEN) as client:
                session = (await client.ask("open", {"name": "large"}))["payload"]["session"]
                await client.ask("eval", {"code": "import random; data = random.randbytes(1_000_000)"}, session=session)
                before = await client.ask("eval", {"code": "sum(data), len(data)"}, session=session)
            assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > 1_000_000
        async with serving_with(redis, state, **settings) as process:
            async with connect(await ready(process), TOKEN) as client:
                after = await client.ask("eval", {"code": "sum(data), len(data)"}, session=session)
                assert after["payload"]["output"] == before["payload"]["output"]
                await client.ask("close", session=session)
                async with asyncio.timeout(START_TIMEOUT_S):
                    while any(file.is_file() for file in folder.rglob("*")):
                        await asyncio.sleep(0.05)
    finally:
        redis.kill()


async def test_a_folder_for_blobs_that_cannot_be_used_is_said_at_once(tmp_path: Path, state: Path) -> None:
    """With its name and the reason."""
    (tmp_path / "file").write_bytes(b"")
    settings = {"BASCULE_BLOBS__FOLDER": str(tmp_path / "file" / "blobs"), "BASCULE_REDIS__URL": "redis://127.0.0.1:1"}
    words = ("--runtime", "bubblewrap", "--port", "0", "--state-dir", str(state / "state"))
    async with serving(*words, **settings) as process:
        _, err = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
        assert process.returncode == 1
        assert b"Error: blobs.folder: " in err.splitlines()[-1]
        assert b"Not a directory" in err
