"""The in-process `websockets` bridge: what the same protocol costs without isolation and without keeping anything."""

from __future__ import annotations

import importlib.util
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from loadtests import services
from loadtests.client import ReplClient
from loadtests.contestants.contestant import Contestant, Unavailable
from loadtests.goals import BRIDGE
from loadtests.measuring import Values, check, p50_p99, round_trips, ten_megabytes, throughput
from loadtests.sizes import Sizes

MODULE: Final = "loadtests.contestants.bridge_server"


async def _check() -> None:
    if importlib.util.find_spec("websockets") is None:
        raise Unavailable("the package websockets is not installed")


@dataclass(frozen=True, slots=True)
class _Bridge:
    url: str
    token: str
    pid: int

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ReplClient]:
        client = await ReplClient.connect(self.url, self.token)
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def _bridge() -> AsyncIterator[_Bridge]:
    token = secrets.token_hex(16)
    with services.throw_away_folder() as folder:
        log = folder / "log"
        environment = services.own_environment(BRIDGE_TOKEN=token)
        async with services.running(services.python("-m", MODULE), log, environment=environment) as process:
            yield _Bridge(await services.ready_url(process, log), token, process.pid)


async def _start(sizes: Sizes) -> Values:
    samples = []
    async with _bridge() as bridge:
        for _ in range(sizes.warm_starts):
            began = time.perf_counter()
            async with bridge.session() as client:
                output = (await client.eval("1+1"))["output"]
                samples.append((time.perf_counter() - began) * 1e3)
            check(output == "2", f"1+1 is {output}")
    return p50_p99("start.warm", samples)


async def _round_trip(sizes: Sizes) -> Values:
    async with _bridge() as bridge, bridge.session() as client:
        return await round_trips(client, "round_trip.none", sizes.round_trips)


async def _output(measure: str, sizes: Sizes) -> Values:
    async with _bridge() as bridge, bridge.session() as client:
        return await ten_megabytes(client, measure, bridge.pid, sizes.prints)


async def _throughput(sizes: Sizes) -> Values:
    async with _bridge() as bridge, AsyncExitStack() as sessions:
        clients = [await sessions.enter_async_context(bridge.session()) for _ in range(sizes.sessions)]
        return await throughput(clients, "throughput.none", bridge.pid, sizes.evals)


CONTESTANT: Final = Contestant(
    BRIDGE,
    _check,
    {
        "start.warm": _start,
        "round_trip.none": _round_trip,
        "output.print": partial(_output, "output.print"),
        "output.lines": partial(_output, "output.lines"),
        "throughput.none": _throughput,
    },
)
