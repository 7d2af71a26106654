"""Fixtures: servers of both kinds, embedded (bubblewrap, a private Redis) and on Docker with a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.redis_server import RedisServer, binaries
from support.server import Server


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder with a short path that session users can go through, for servers that a test starts itself."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-test-"))
    folder.chmod(0o755)
    yield folder
    _end_private_redis(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def embedded() -> AsyncIterator[Server]:
    """The laptop's one-liner, in a state folder of its own."""
    async for server in _running("--embedded"):
        yield server


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own that writes each commit to disk before it answers; it may be paused and killed."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-redis-"))
    server = RedisServer(next(iter(binaries().values())), folder)
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Where it is."""
    return redis_server.url


@pytest.fixture
async def on_bubblewrap(redis_url: str) -> AsyncIterator[Server]:
    """Workers that end with their server, and a Redis that others started."""
    async for server in _running("--runtime", "bubblewrap", "--redis-url", redis_url):
        yield server


@pytest.fixture
async def on_docker(redis_url: str) -> AsyncIterator[Server]:
    """What runs on a server: Docker workers and a Redis that others started."""
    async for server in _running("--runtime", "docker", "--redis-url", redis_url):
        yield server


@pytest.fixture
async def on_docker_with_data(redis_url: str) -> AsyncIterator[Server]:
    """The same with the image that has numpy and pandas."""
    async for server in _running("--runtime", "docker", "--image", "bascule-worker:data", "--redis-url", redis_url):
        yield server


async def _running(*arguments: str) -> AsyncIterator[Server]:
    # Not pytest's folder: session uids must be able to go through every folder above a worker's socket.
    folder = Path(tempfile.mkdtemp(prefix="bascule-test-"))
    folder.chmod(0o755)
    server = Server(folder / "state", *arguments)
    await server.start()
    try:
        yield server
    finally:
        if server.runs:
            await server.stop()
        await asyncio.to_thread(clean, folder)


def clean(folder: Path) -> None:
    """Docker workers outlive their server on purpose, and this one's next server never comes."""
    workers = [entry.name for entry in (folder / "state" / "workers").glob("wrk_*")]
    if workers and shutil.which("docker"):
        subprocess.run(["docker", "rm", "--force", "--volumes", *workers], capture_output=True, timeout=60)
    _end_private_redis(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _end_private_redis(folder: Path) -> None:
    """An embedded server that was killed leaves its Redis to the next one, which never comes either."""
    for file in folder.rglob("redis.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)
