"""Jupyter Kernel Gateway over its WebSocket: the same job, a process a session, nothing kept.

Its defaults cut output at 1 MB/s and leave Nagle's algorithm on, so 10 MB never arrive and each eval waits 40 ms for an
acknowledgement. Here the limit is off and the client acknowledges at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from loadtests import services
from loadtests.contestants.contestant import Contestant, Unavailable
from loadtests.figures import percentile
from loadtests.goals import JUPYTER
from loadtests.measuring import FIRST, STEP, TEN_MB, Values, check, memory_mb, p50_p99, samples_ms, timed_ms
from loadtests.processes import descendants
from loadtests.sizes import OUTPUT_BYTES, Sizes
from loadtests.websocket import WebSocket

START_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.1
SLOW_WARM_UP: Final = 10
NO_LIMITS: Final = ("iopub_data_rate_limit", "iopub_msg_rate_limit")
FOLDERS: Final = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")


async def _check() -> None:
    for module, package in (("kernel_gateway", "jupyter-kernel-gateway"), ("ipykernel", "ipykernel")):
        if importlib.util.find_spec(module) is None:
            raise Unavailable(f"the package {package} is not installed: pip install 'bascule[bench]'")


class _Kernel:
    """One kernel's channels."""

    def __init__(self, connection: WebSocket) -> None:
        self._connection = connection
        self._session = secrets.token_hex(8)
        self._count = 0
        self.written = 0
        """Characters that the last eval wrote."""
        self.output: str | None = None

    async def eval(self, code: str) -> None:
        """Until the reply, the output and the word that the kernel is idle are all here."""
        self._count += 1
        self.written, self.output = 0, None
        id_ = f"{self._session}-{self._count}"
        self._connection.send(json.dumps(self._request(id_, code)))
        missing = {"execute_reply", "idle"}
        while missing:
            self._connection.take_quickly()
            message = json.loads(await self._connection.receive())
            if message["parent_header"].get("msg_id") == id_:
                missing.discard(self._take(message))

    def _request(self, id_: str, code: str) -> dict[str, Any]:
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        header = {"msg_id": id_, "msg_type": "execute_request", "session": self._session, "version": "5.3"}
        header |= {"username": "", "date": ""}
        return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}

    def _take(self, message: dict[str, Any]) -> str:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            self.written += len(content["text"])
        elif kind == "execute_result":
            self.output = content["data"]["text/plain"]
        elif kind == "execute_reply":
            check(content["status"] == "ok", f"the kernel says {content}")
        return "idle" if kind == "status" and content["execution_state"] == "idle" else str(kind)


class _Gateway:
    """One that runs."""

    def __init__(self, port: int, token: str, pid: int, http: aiohttp.ClientSession) -> None:
        self._place = f"127.0.0.1:{port}"
        self._token = token
        self._http = http
        self.pid = pid

    @asynccontextmanager
    async def kernel(self) -> AsyncIterator[_Kernel]:
        """A new kernel, ended with the block."""
        address = f"http://{self._place}/api/kernels"
        async with self._http.post(address, json={"name": "python3"}) as answer:
            check(answer.status == 201, f"the gateway refuses a kernel: {answer.status}")
            id_ = (await answer.json())["id"]
        try:
            path = f"/api/kernels/{id_}/channels?token={self._token}"
            connection = await WebSocket.connect(f"ws://{self._place}{path}", self._token)
            yield _Kernel(connection)
            await connection.close()
        finally:
            async with self._http.delete(f"{address}/{id_}"):
                pass

    async def answers(self) -> bool:
        """Whether it serves."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self._http.get(f"http://{self._place}/api") as answer:
                return answer.status == 200
        return False


@asynccontextmanager
async def _gateway() -> AsyncIterator[_Gateway]:
    token, port = secrets.token_hex(16), _free_port()
    with services.throw_away_folder() as folder:
        words = services.python("-m", "kernel_gateway", "--ip=127.0.0.1", f"--port={port}", "--log-level=WARN")
        words += [f"--ZMQChannelsWebsocketConnection.{name}=0" for name in NO_LIMITS]
        places = {name: str(folder / name) for name in FOLDERS}
        environment = services.own_environment(KG_AUTH_TOKEN=token, **places)
        headers = {"Authorization": f"token {token}"}
        async with (
            services.running(words, folder / "log", environment=environment) as process,
            aiohttp.ClientSession(headers=headers) as http,
        ):
            gateway = _Gateway(port, token, process.pid, http)
            await _until_it_answers(gateway, folder / "log")
            yield gateway


async def _until_it_answers(gateway: _Gateway, log: Path) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await gateway.answers():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise Unavailable(f"the gateway does not answer: {services.last_words(log)}") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _cold(sizes: Sizes) -> Values:
    samples = []
    async with _gateway() as gateway:
        for _ in range(sizes.cold_starts):
            began = time.perf_counter()
            async with gateway.kernel() as kernel:
                await kernel.eval("1+1")
                samples.append((time.perf_counter() - began) * 1e3)
            check(kernel.output == "2", f"1+1 is {kernel.output}")
    return {"start.cold.p50": percentile(samples, 0.5)}


async def _memory(sizes: Sizes) -> Values:
    async with _gateway() as gateway, AsyncExitStack() as kernels:
        for _ in range(sizes.kernels):
            await (await kernels.enter_async_context(gateway.kernel())).eval("1+1")
        return {"memory.session": memory_mb(descendants(gateway.pid)) / sizes.kernels}


async def _round_trip(sizes: Sizes) -> Values:
    count = sizes.slow_round_trips * 10
    async with _gateway() as gateway, gateway.kernel() as kernel:
        await kernel.eval(FIRST)
        samples = await samples_ms(lambda: kernel.eval(STEP), count, warm_up=SLOW_WARM_UP)
        check(kernel.output == str(count + SLOW_WARM_UP), f"{count + SLOW_WARM_UP} evals counted to {kernel.output}")
    return p50_p99("round_trip.none", samples)


async def _output(sizes: Sizes) -> Values:
    samples = []
    async with _gateway() as gateway, gateway.kernel() as kernel:
        await kernel.eval("1+1")
        for _ in range(sizes.prints):
            samples.append(await timed_ms(lambda: kernel.eval(TEN_MB["output.print"])))
            check(kernel.written == OUTPUT_BYTES, f"{kernel.written} of {OUTPUT_BYTES} bytes arrived")
    return {"output.print": percentile(samples, 0.5)}


async def _throughput(sizes: Sizes) -> Values:
    async with _gateway() as gateway, AsyncExitStack() as stack:
        kernels = [await stack.enter_async_context(gateway.kernel()) for _ in range(sizes.kernels)]
        await asyncio.gather(*(kernel.eval(FIRST) for kernel in kernels))

        async def one_after_another(kernel: _Kernel) -> None:
            for _ in range(sizes.slow_evals):
                await kernel.eval(STEP)

        took_ms = await timed_ms(lambda: asyncio.gather(*map(one_after_another, kernels)))
        return {"throughput.none": sizes.slow_evals * len(kernels) / took_ms * 1e3}


CONTESTANT: Final = Contestant(
    JUPYTER,
    _check,
    {
        "start.cold": _cold,
        "memory": _memory,
        "round_trip.none": _round_trip,
        "output.print": _output,
        "throughput.none": _throughput,
    },
)
