"""`bascule serve` as a process: what it says, what it refuses, how it ends."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.processes import leftovers
from support.redis_server import RedisServer, binaries

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

TOKEN = "a-token-for-tests"
START_TIMEOUT_S = 30


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder with a short path that session users can go through."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def serving(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, ended afterwards whatever happened."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", "serve", "--embedded", "--dev-token", TOKEN, *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)


async def ready(process: asyncio.subprocess.Process) -> str:
    """The address of its `ready` line."""
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)).decode()
    word, _, url = line.strip().partition(" ")
    assert word == "ready"
    return url


async def test_it_says_when_it_serves_and_ends_in_order(state: Path) -> None:
    """One line on stdout; on SIGTERM exit code 0, the Redis gone, the stored sessions still there."""
    async with serving("--port", "0", "--state-dir", str(state), "--host", "127.0.0.1") as process:
        url = await ready(process)
        assert url.startswith("ws://127.0.0.1:")
        async with aiohttp.ClientSession() as http, http.get(url.replace("ws:", "http:") + "/readyz?verbose") as answer:
            assert answer.status == 200
            assert "[+] store" in await answer.text()
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, err
        assert out == b""
        assert b'"embedded started"' in err
        assert TOKEN.encode() not in err
    assert leftovers(str(state)) == []
    assert list((state / "redis").glob("appendonlydir/*"))


async def test_localhost_is_the_default(state: Path, require) -> None:
    """Reached over IPv4 and IPv6 on one port."""
    require(_has_ipv6(), "no IPv6 loopback address on this machine")
    async with serving("--port", "0", "--state-dir", str(state)) as process:
        url = await ready(process)
        port = int(url.rpartition(":")[2])
        for address in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_a_port_in_use_is_said_before_anything_is_left_behind(state: Path) -> None:
    """Exit code 1, the port, what to do; no Redis and no worker stays."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with serving("--host", "127.0.0.1", "--port", port, "--state-dir", str(state)) as process:
            out, err = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
            assert (process.returncode, out) == (1, b"")
            assert f"127.0.0.1:{port} is in use".encode() in err
    assert leftovers(str(state)) == []


async def test_two_servers_cannot_share_a_state_folder(state: Path) -> None:
    """They would end each other's workers; after a kill -9 of the first one the folder is free again."""
    async with serving("--port", "0", "--state-dir", str(state)) as first:
        await ready(first)
        async with serving("--port", "0", "--state-dir", str(state)) as second:
            _, err = await asyncio.wait_for(second.communicate(), START_TIMEOUT_S)
            assert second.returncode == 1
            assert b"another server uses" in err
        first.kill()
        await first.wait()
        async with serving("--port", "0", "--state-dir", str(state)) as third:
            await ready(third)


async def test_a_private_redis_is_one_servers_own(state: Path) -> None:
    """With Docker workers too: the first of two to end would end it under the other."""
    lock = os.open(state / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    async with serving("--runtime", "docker", "--port", "0", "--state-dir", str(state)) as process:
        _, err = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
        assert process.returncode == 1
        assert b"another server uses" in err
    os.close(lock)


async def test_a_closed_stdout_harms_nobody(state: Path) -> None:
    """No socket of the server gets the number of a closed stream: it serves, and ends in order."""
    words = (sys.executable, "-m", "orchestrator", "serve", "--embedded", "--dev-token", TOKEN, "--port", "0")
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", 'exec "$0" "$@" <&- >&-', *words, "--state-dir", str(state), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(START_TIMEOUT_S):
        while b'"server started"' not in (line := await process.stderr.readline()):
            assert line, await process.wait()
    url = json.loads(line)["url"].replace("ws:", "http:")
    async with aiohttp.ClientSession() as http, http.get(url + "/readyz") as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_a_full_stdout_is_said_in_one_line(state: Path) -> None:
    """Who waits for the `ready` line would wait for ever: exit code 1, and nothing stays behind."""
    words = ("serve", "--embedded", "--dev-token", TOKEN, "--port", "0", "--state-dir", str(state))
    full = os.open("/dev/full", os.O_WRONLY)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", *words, stdout=full, stderr=asyncio.subprocess.PIPE
    )
    os.close(full)
    _, err = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
    assert process.returncode == 1
    assert err.splitlines()[-1] == b"Error: stdout can't be written to: No space left on device"
    assert b"Traceback" not in err
    assert leftovers(str(state)) == []


@asynccontextmanager
async def serving_with(
    redis: RedisServer, state: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server on a Redis that others started."""
    words = ("serve", "--runtime", "bubblewrap", "--redis-url", redis.url, "--dev-token", TOKEN, "--port", "0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", *words, "--state-dir", str(state / "state"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


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


async def test_a_redis_that_loses_data_is_warned_of_and_one_that_comes_late_is_waited_for(
    guarded_redis: RedisServer, state: Path
) -> None:
    """The settings that lose data are in the log; while it is away the server lives and is not ready."""
    async with serving_with(guarded_redis, state, BASCULE_REDIS__PASSWORD="right") as process:
        await ready(process)
        assert process.stderr is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            while b'"store doubted"' not in (line := await process.stderr.readline()):
                assert line
        assert b"appendonly is off" in line
    guarded_redis.kill()
    async with serving_with(guarded_redis, state, BASCULE_REDIS__PASSWORD="right") as process:
        url = (await ready(process)).replace("ws:", "http:")
        async with aiohttp.ClientSession() as http:
            async with http.get(url + "/livez") as answer:
                assert answer.status == 200
            async with http.get(url + "/readyz?verbose") as answer:
                assert (answer.status, "[-] store: the store is away" in await answer.text()) == (503, True)
            guarded_redis.start()
            async with asyncio.timeout(START_TIMEOUT_S):
                while await status_of(http, url + "/readyz") != 200:
                    await asyncio.sleep(0.1)


async def status_of(http: aiohttp.ClientSession, url: str) -> int:
    """What a probe sees."""
    async with http.get(url) as answer:
        return answer.status
