"""Bascule itself: a server of its own for each task, with a Redis of its own that keeps everything in memory."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from loadtests import checkpoints, services
from loadtests.client import ReplClient
from loadtests.contestants import parked
from loadtests.contestants.bubblewrap import check_bubblewrap
from loadtests.contestants.contestant import Contestant, Task
from loadtests.contestants.docker_engine import check_docker, containers_below, inside, main_pids, remove, shims
from loadtests.figures import percentile
from loadtests.goals import BASCULE_BUBBLEWRAP, BASCULE_DOCKER
from loadtests.measuring import Values, check, memory_mb, p50_p99, round_trips, ten_megabytes, throughput
from loadtests.processes import descendants
from loadtests.sizes import Sizes

WARM: Final = 2
"""Workers in the pool, where it is measured: the server's default."""

REFILL_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.05
SETTLE_S: Final = 1.0
"""For sessions to become idle."""

_STARTS: Final = re.compile(r"^bascule_worker_start_seconds_count\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs."""

    url: str
    token: str
    pid: int
    log: Path
    redis_url: str

    @asynccontextmanager
    async def session(self, durability: str = "commit", **more: object) -> AsyncIterator[ReplClient]:
        """A session of its own, ended with the block, so that its worker makes room."""
        client = await ReplClient.connect(self.url, self.token)
        try:
            await client.request("open", {"durability": durability, **more})
            yield client
            await client.request("close")
        finally:
            await client.close()

    async def workers_started(self) -> int:
        """Since the server began, by its own count."""
        async with aiohttp.ClientSession() as http, http.get(self.url.replace("ws:", "http:") + "/metrics") as answer:
            return sum(int(float(count)) for count in _STARTS.findall(await answer.text()))

    def workers_claimed(self) -> list[str]:
        """Ids of the workers that sessions got, from the log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["worker"] for line in lines if line.get("event") == "worker claimed"]


@asynccontextmanager
async def server_of(
    runtime: str, *, pool_size: int, settings: Mapping[str, str] | None = None, tree: Path | None = None
) -> AsyncIterator[Server]:
    """A server on that runtime, until the end of the block; then nothing of it is left. `settings`: further ones, by
    the names of their variables without the prefix. `tree`: of another version than this one."""
    async with AsyncExitStack() as parts:
        folder = parts.enter_context(services.throw_away_folder())
        redis_url = await parts.enter_async_context(services.redis_server(folder))
        if runtime == "docker":
            parts.push_async_callback(_remove_containers, folder)
        token, log = secrets.token_hex(16), folder / "server.log"
        environment = services.own_environment(
            BASCULE_AUTH__DEV_TOKEN=token, BASCULE_ENGINE__POOL_SIZE=str(pool_size), BASCULE_LOG__FORMAT="json",
            **{f"BASCULE_{name}": value for name, value in (settings or {}).items()},
            **({"PYTHONPATH": services.python_path(tree)} if tree else {}),
        )  # fmt: skip
        words = _words(folder, runtime, redis_url)
        process = await parts.enter_async_context(services.running(words, log, environment=environment, cwd=tree))
        yield Server(await services.ready_url(process, log), token, process.pid, log, redis_url)


def _words(folder: Path, runtime: str, redis_url: str) -> list[str]:
    config = folder / "config.toml"
    config.touch()
    place = ("--host", "127.0.0.1", "--port", "0", "--state-dir", str(folder / "state"), "--config", str(config))
    return services.python("-m", "orchestrator", "serve", "--runtime", runtime, "--redis-url", redis_url, *place)


async def _remove_containers(folder: Path) -> None:
    await asyncio.shield(remove(await containers_below(folder)))


async def _cold(runtime: str, sizes: Sizes) -> Values:
    async with server_of(runtime, pool_size=0) as server:
        samples = [await _start_ms(server) for _ in range(sizes.cold_starts)]
    return {"start.cold.p50": percentile(samples, 0.5)}


async def _warm(runtime: str, sizes: Sizes) -> Values:
    samples = []
    async with server_of(runtime, pool_size=WARM) as server:
        for claimed in range(sizes.warm_starts):
            # No start is under way while a claim is timed: what those do to each other depends on the machine.
            await _until_started(server, WARM + claimed)
            samples.append(await _start_ms(server))
    return p50_p99("start.warm", samples)


async def _start_ms(server: Server) -> float:
    """From dialling until the result of `1+1`, with nothing asked for: the session comes by itself."""
    began = time.perf_counter()
    client = await ReplClient.connect(server.url, server.token)
    try:
        output = (await client.eval("1+1"))["output"]
        took_ms = (time.perf_counter() - began) * 1e3
        check(output == "2", f"1+1 is {output}")
        await client.request("close")
    finally:
        await client.close()
    return took_ms


async def _until_started(server: Server, count: int) -> None:
    async with asyncio.timeout(REFILL_TIMEOUT_S):
        while await server.workers_started() < count:
            await asyncio.sleep(POLL_S)


async def _memory(runtime: str, sizes: Sizes) -> Values:
    async with server_of(runtime, pool_size=0) as server, AsyncExitStack() as sessions:
        for _ in range(sizes.idle_sessions):
            client = await sessions.enter_async_context(server.session())
            await client.eval("1+1")
        await asyncio.sleep(SETTLE_S)
        if runtime == "bubblewrap":
            return {"memory.session": memory_mb(descendants(server.pid)) / sizes.idle_sessions}
        pids = await main_pids(server.workers_claimed())
        check(len(pids) == sizes.idle_sessions, f"{len(pids)} containers for {sizes.idle_sessions} sessions")
        return {
            "memory.session": memory_mb(inside(pids)) / len(pids),
            "memory.shim": memory_mb(shims(pids)) / len(pids),
        }


async def _round_trip(runtime: str, durability: str, sizes: Sizes) -> Values:
    async with server_of(runtime, pool_size=0) as server, server.session(durability) as client:
        return await round_trips(client, f"round_trip.{durability}", sizes.round_trips)


async def _output(runtime: str, measure: str, sizes: Sizes) -> Values:
    async with server_of(runtime, pool_size=0) as server, server.session() as client:
        return await ten_megabytes(client, measure, server.pid, sizes.prints)


async def _throughput(runtime: str, durability: str, sizes: Sizes) -> Values:
    async with server_of(runtime, pool_size=0) as server, AsyncExitStack() as sessions:
        opened = [await sessions.enter_async_context(server.session(durability)) for _ in range(sizes.sessions)]
        return await throughput(opened, f"throughput.{durability}", server.pid, sizes.evals)


def _contestant(name: str, runtime: str, check_: Callable[[], Awaitable[None]]) -> Contestant:
    tasks: dict[str, Task] = {
        "start.cold": partial(_cold, runtime),
        "start.warm": partial(_warm, runtime),
        "memory": partial(_memory, runtime),
        "output.print": partial(_output, runtime, "output.print"),
        "output.lines": partial(_output, runtime, "output.lines"),
    }
    for durability in ("none", "commit"):
        tasks[f"round_trip.{durability}"] = partial(_round_trip, runtime, durability)
        tasks[f"throughput.{durability}"] = partial(_throughput, runtime, durability)
    start = partial(server_of, runtime)
    tasks |= parked.tasks_of(start)
    if runtime == "bubblewrap":
        # An engine with so many containers is a benchmark of the engine.
        tasks["many"] = partial(parked.many, start)
    return Contestant(name, check_, tasks)


async def _checkpoints(sizes: Sizes) -> Values:
    return await checkpoints.measured(rounds=sizes.checkpoints)


_DOCKER: Final = _contestant(BASCULE_DOCKER, "docker", check_docker)
ON_DOCKER: Final = replace(_DOCKER, tasks={**_DOCKER.tasks, "checkpoint": _checkpoints})
"""Only its image is sure to have numpy."""
ON_BUBBLEWRAP: Final = _contestant(BASCULE_BUBBLEWRAP, "bubblewrap", check_bubblewrap)
