"""SIGTERM to a server that is at work: who hears what, what is kept, and that it ends in time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.client import ReplClient, connect
from support.processes import leftovers
from support.rest import events, rest_of
from support.server import TOKEN, Server
from support.serving import logged, ready, serving

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

RUNS = "n = 1\nprint('on', flush=True)\nwhile True: pass"
DEAF = (
    "n = 99\nprint('on', flush=True)\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass"
)
END_S = 30.0
"""For a server on a machine that is busy; what is bounded by settings ends long before."""


@asynccontextmanager
async def serving_from(state: Path, *words: str) -> AsyncIterator[Server]:
    """A server in that folder, ended in any case."""
    server = Server(state / "state", *words)
    await server.start()
    try:
        yield server
    finally:
        if server.runs:
            await server.kill()


async def begun(client: ReplClient, code: str) -> tuple[str, str]:
    """A session in which an eval runs: its id, and that of the request."""
    session = (await client.ask("open"))["payload"]["session"]
    await client.eval("n = 0")
    request = await client.send("eval", {"code": code, "stream": True})
    await client.wait_for(lambda e: e["type"] == "stream" and e["id"] == request)
    return session, request


async def went_away(client: ReplClient) -> None:
    """It is told when to come back, and hung up on with 1012."""
    told = await client.wait_for(lambda e: e["type"] == "going_away")
    assert told["payload"]["retry_after_ms"] > 0
    async with asyncio.timeout(END_S):
        assert await client.over() == 1012


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_o01_an_idle_server_ends_at_once(state: Path, number: signal.Signals) -> None:
    """Its clients are told where they are; exit code 0; no process stays."""
    words = ("--embedded", "--port", "0", "--host", "127.0.0.1", "--state-dir", str(state))
    async with serving(*words) as process, connect(await ready(process), TOKEN, protocols=["bascule.v1"]) as client:
        await client.eval("n = 1")
        process.send_signal(number)
        await went_away(client)
        assert await asyncio.wait_for(process.wait(), END_S) == 0
    assert leftovers(str(state)) == []


async def test_o02_what_runs_may_end_and_nothing_new_begins(state: Path) -> None:
    """Not ready at once, no new clients, no new sessions; the eval ends and is committed; SSE streams end whole."""
    async with (
        serving_from(state, "--embedded") as server,
        rest_of(server.url, TOKEN) as rest,
        connect(server.url, TOKEN, protocols=["bascule.v1"]) as client,
        connect(server.url, TOKEN, protocols=["bascule.v1"]) as idle,
    ):
        session, request = await begun(client, RUNS)
        await idle.ask("ping")
        async with rest.stream("GET", f"/v1/sessions/{session}/events") as listening:
            stopping = asyncio.create_task(server.stop())
            await went_away(idle)
            assert await refusals(server.url) == [503, 503, 503]
            refused = (await client.ask("open"))["payload"]
            assert (refused["code"], refused["retryable"], refused["retry_after_ms"] > 0) == ("draining", True, True)
            assert not stopping.done()
            await client.ask("interrupt")
            answer = (await client.terminal(request))["payload"]
            assert (answer["state"], answer["error"]["name"]) == ("committed", "KeyboardInterrupt")
            types = [event.type async for event in events(listening)]
            assert types[-1] == "going_away"
        await went_away(client)
        assert await asyncio.wait_for(stopping, END_S) == 0
        await server.start()
        async with connect(server.url, TOKEN) as client:
            bound = (await client.ask("attach", {"session": session}))["payload"]
            assert (bound["seq"], bound["etag"]) == (answer["seq"], answer["etag"])


async def refusals(url: str) -> list[int]:
    """What a probe, a WebSocket and a REST client get while the server drains."""
    base, head = url.replace("ws:", "http:"), {"Authorization": f"Bearer {TOKEN}"}
    found = []
    async with aiohttp.ClientSession(headers=head) as http:
        async with http.get(base + "/readyz") as answer:
            found.append(answer.status)
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await http.ws_connect(url + "/v1/ws")
        assert raised.value.headers is not None and int(raised.value.headers["Retry-After"]) > 0
        found.append(raised.value.status)
        async with http.post(base + "/v1/sessions", json={}) as answer:
            assert (await answer.json())["code"] == "draining"
            found.append(answer.status)
        async with http.get(base + "/livez") as answer:
            assert answer.status == 200
    return found


async def test_o03_an_eval_that_ignores_everything_is_undone_with_its_server(state: Path) -> None:
    """On bubblewrap its worker ends with the server: told before the goodbye, and the state before it is there."""
    async with serving_from(state, "--embedded", "--drain-timeout-s", "0.3") as server:
        async with connect(server.url, TOKEN, protocols=["bascule.v1"]) as client:
            session, request = await begun(client, DEAF)
            stopping = asyncio.create_task(server.stop())
            error = (await client.terminal(request))["payload"]
            assert (error["code"], error["retryable"]) == ("rolled_back", True)
            await went_away(client)
            assert await asyncio.wait_for(stopping, END_S) == 0
        await server.start()
        async with connect(server.url, TOKEN) as client:
            await client.ask("attach", {"session": session})
            assert (await client.eval("n"))["output"] == "0"


@pytest.mark.docker
async def test_o03_an_eval_that_takes_longer_goes_on_in_its_container(on_docker: Server) -> None:
    """Its client is told to ask again; the next server adopts the worker, and the same id joins the run."""
    code = "import time\nprint('on', flush=True)\ntime.sleep(4)\nn += 5\nn"
    on_docker.arguments += ("--drain-timeout-s", "0.3")
    await on_docker.stop()
    await on_docker.start()
    async with connect(on_docker.url, TOKEN, protocols=["bascule.v1"]) as client:
        session, request = await begun(client, code)
        stopping = asyncio.create_task(on_docker.stop())
        error = (await client.terminal(request))["payload"]
        assert (error["code"], error["retryable"]) == ("draining", True)
        await went_away(client)
        assert await asyncio.wait_for(stopping, END_S) == 0
    await on_docker.start()
    async with connect(on_docker.url, TOKEN) as client:
        await client.ask("attach", {"session": session})
        answer = (await client.ask("eval", {"code": code, "stream": True}, id_=request))["payload"]
        assert (answer["output"], answer["state"]) == ("5", "committed")


async def test_o04_a_second_signal_ends_it_at_once(state: Path) -> None:
    """The first one waits for the eval that runs; who cannot wait sends another."""
    words = ("--embedded", "--port", "0", "--state-dir", str(state), "--host", "127.0.0.1")
    async with serving(*words) as process, connect(await ready(process), TOKEN) as client:
        await begun(client, DEAF)
        process.send_signal(signal.SIGINT)
        await logged(process, "server stopping")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 1
    # Its Redis goes on, as after a kill -9, and is ended by the next server in order.
    async with serving(*words) as process:
        await ready(process)
    assert leftovers(str(state)) == []


async def until_redis(state: Path) -> None:
    """The private Redis has been started, and the rest of the server has not."""
    while not list(state.glob("redis/*.sock")):
        await asyncio.sleep(0.001)


async def until_folders(state: Path) -> None:
    """The first worker is on its way."""
    while not list(state.glob("workers/wrk_*")):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("moment", [until_redis, until_folders])
async def test_a_signal_during_the_start_ends_it_without_a_trace(
    state: Path, moment: Callable[[Path], Awaitable[None]]
) -> None:
    """Whatever was started by then is ended in order; exit code 0."""
    async with serving("--embedded", "--port", "0", "--state-dir", str(state)) as process:
        async with asyncio.timeout(END_S):
            await moment(state)
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), END_S)
        assert process.returncode == 0, err
        assert b"server stopped" in err and b"Traceback" not in err
        assert out.count(b"\n") <= 1
    assert leftovers(str(state)) == []
