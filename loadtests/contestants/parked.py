"""Sessions that are parked, woken and many: what a session costs that nobody uses, and how soon it is back."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, Protocol

import aiohttp

from loadtests.client import ReplClient
from loadtests.contestants.contestant import Task
from loadtests.figures import percentile
from loadtests.measuring import Values, check, memory_mb
from loadtests.processes import MB, descendants, proportional_bytes
from loadtests.sizes import Sizes

IDLE_S: Final = 0.3
PARKS_SOON: Final = {"ENGINE__SWEEP_INTERVAL_S": "0.05"}
STATES: Final = {
    "wake.small": "n = 1; data = [str(number) for number in range(1000)]",
    "wake.large": "import os; n = 1; data = os.urandom(10_000_000)",
    "fork": "n = 1; data = [str(number) for number in range(1000)]",
}
"""About 10 KB, and 10 MB that no compression makes smaller."""

CONNECTIONS: Final = 8
"""On which many sessions are made."""
STARTS_AT_ONCE: Final = 4
_POLL_S: Final = 0.02
_PARKS: Final = re.compile(r"^bascule_park_seconds_(sum|count) (\S+)$", re.MULTILINE)
_WORKERS: Final = re.compile(r'^bascule_workers\{status="(\w+)"\} (\S+)$', re.MULTILINE)


class Server(Protocol):
    """What is needed of one that runs."""

    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def redis_url(self) -> str: ...

    def session(self, durability: str = "commit", **more: object) -> AbstractAsyncContextManager[ReplClient]:
        """A session, ended with the block."""


Start = Callable[..., AbstractAsyncContextManager[Server]]
"""Keywords `pool_size` and `settings`; a server until the end of the block."""


def tasks_of(start: Start) -> dict[str, Task]:
    """On one runtime."""
    return {
        "park": partial(_park, start),
        "wake.small": partial(_wake, start, "wake.small"),
        "wake.large": partial(_wake, start, "wake.large"),
        "fork": partial(_fork, start),
    }


async def _metrics(server: Server) -> str:
    async with aiohttp.ClientSession() as http, http.get(server.url.replace("ws:", "http:") + "/metrics") as answer:
        return await answer.text()


async def _until_warm(server: Server, count: int) -> None:
    """So many workers wait, and none starts or ends: what those do to a wake depends on the machine."""
    async with asyncio.timeout(60):
        while (workers := await _workers(server))["ready"] < count or workers["starting"] or workers["ending"]:
            await asyncio.sleep(_POLL_S)


async def _workers(server: Server) -> dict[str, float]:
    return {status: float(number) for status, number in _WORKERS.findall(await _metrics(server))}


async def _park(start: Start, sizes: Sizes) -> Values:
    """From asking the worker until the store has it: the mean, as the server counts it."""
    async with start(pool_size=0, settings=PARKS_SOON) as server, AsyncExitStack() as sessions:
        for _ in range(sizes.parks):
            client = await sessions.enter_async_context(server.session(idle_timeout_s=IDLE_S))
            await client.eval(STATES["wake.small"])
            await client.until_status("parked")
        told = dict(_PARKS.findall(await _metrics(server)))
    check(float(told["count"]) >= sizes.parks, f"{told['count']} parked")
    return {"park.mean": float(told["sum"]) / float(told["count"]) * 1e3}


async def _wake(start: Start, measure: str, sizes: Sizes) -> Values:
    """From a request to a session without a worker until its result; a warm worker waits."""
    samples = []
    async with start(pool_size=1, settings=PARKS_SOON) as server, server.session(idle_timeout_s=IDLE_S) as client:
        await client.eval(STATES[measure])
        for _ in range(sizes.wakes):
            await client.until_status("parked")
            await _until_warm(server, 1)
            began = time.perf_counter()
            output = (await client.eval("n"))["output"]
            samples.append((time.perf_counter() - began) * 1e3)
            check(output == "1", f"n is {output}")
    return {f"{measure}.p50": percentile(samples, 0.5)}


async def _fork(start: Start, sizes: Sizes) -> Values:
    """Request and reply: the new session is in the store, with its state."""
    async with start(pool_size=0, settings={}) as server, server.session() as client:
        await client.eval(STATES["fork"])
        samples = []
        for _ in range(sizes.forks):
            began = time.perf_counter()
            await client.request("fork")
            samples.append((time.perf_counter() - began) * 1e3)
    return {"fork.p50": percentile(samples, 0.5)}


# --- many ---------------------------------------------------------------------------------------------------------


async def many(start: Start, sizes: Sizes) -> Values:
    """`sizes.many_open` sessions are open, of which `sizes.many_running` have a worker and run."""
    running = sizes.many_running
    limits = {"ENGINE__WORKERS_MAX": str(running), "ENGINE__REFILL_AT_ONCE": "2", "SERVER__CONNECTIONS_MAX": "2000"}
    async with start(pool_size=0, settings=limits) as server, AsyncExitStack() as clients:
        ids = await _made(server, sizes.many_open)
        opened = [await clients.enter_async_context(_connected(server)) for _ in range(running)]
        await _all_run(opened, ids[:running])
        evals_s = await _evals_s(opened, sizes.many_evals)
        # PSS of all workers: what they share is counted once.
        workers = descendants(server.pid)
        values = {
            "many.evals": evals_s,
            "many.server": proportional_bytes(server.pid) / MB,
            "many.redis": await _redis_mb(server),
            "many.worker": memory_mb(workers) / running,
        }
        woken = await clients.enter_async_context(_connected(server))
        values["many.wake.p50"] = await _wakes(woken, ids[running : running + sizes.wakes])
    return values


@asynccontextmanager
async def _connected(server: Server) -> AsyncIterator[ReplClient]:
    client = await ReplClient.connect(server.url, server.token)
    try:
        yield client
    finally:
        await client.close()


async def _made(server: Server, count: int) -> list[str]:
    """Forks of one session with a small state: parked, each with a record, a state and a place in the lists."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_connected(server)) for _ in range(CONNECTIONS)]
        source = (await clients[0].request("open"))["session"]
        await clients[0].eval(STATES["fork"])
        for client in clients[1:]:
            await client.request("attach", {"session": source})

        async def some(client: ReplClient) -> list[str]:
            return [(await client.request("fork"))["session"] for _ in range(count // CONNECTIONS)]

        found = [session for part in await asyncio.gather(*map(some, clients)) for session in part]
        await clients[0].request("close")
        return found


async def _all_run(clients: Sequence[ReplClient], ids: Sequence[str]) -> None:
    gate = asyncio.Semaphore(STARTS_AT_ONCE)

    async def one(client: ReplClient, session: str) -> None:
        async with gate:
            await client.request("attach", {"session": session})
            output = (await client.eval("n"))["output"]
            check(output == "1", f"n is {output}")

    await asyncio.gather(*map(one, clients, ids))


async def _evals_s(clients: Sequence[ReplClient], count: int) -> float:
    payload = json.dumps({"code": "n = n + 1; n"})

    async def one(client: ReplClient) -> None:
        for _ in range(count):
            await client.request_text("eval", payload)

    began = time.perf_counter()
    await asyncio.gather(*map(one, clients))
    return count * len(clients) / (time.perf_counter() - began)


async def _wakes(client: ReplClient, ids: Sequence[str]) -> float:
    """Each of them needs room: the session that was idle for longest is parked, and a worker started."""
    samples = []
    for session in ids:
        began = time.perf_counter()
        await client.request("attach", {"session": session})
        await client.eval("n")
        samples.append((time.perf_counter() - began) * 1e3)
    return percentile(samples, 0.5)


async def _redis_mb(server: Server) -> float:
    from redis.asyncio import Redis

    async with Redis.from_url(server.redis_url) as redis:
        used: int = (await redis.info("memory"))["used_memory"]
    return used / MB
