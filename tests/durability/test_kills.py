"""A session survives the death of its worker and of its server, on both runtimes, again and again.

Workload: each eval appends its number to a list and bumps a counter. What was acknowledged is there, in order, once;
what was not acknowledged had no effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.client import ReplClient, connect
from support.server import TOKEN, Server
from support.workers import kill_container, kill_sandbox, worker_of

KILLS = 20
CAUSES = {"worker_died", "worker_crashed", "worker_unresponsive"}
TOLD_WITHIN_S = 1.0

ROUND = "acknowledged.append({n})\ncounter += 1\ncounter"
RUNNING = "acknowledged.append('never')\ncounter += 1000\nprint('on', flush=True)\nwhile True: pass"
CHECK = "(acknowledged, counter)"

RUNTIMES = [
    pytest.param("embedded", kill_sandbox, marks=pytest.mark.bubblewrap),
    pytest.param("on_docker", kill_container, marks=[pytest.mark.docker, pytest.mark.redis]),
]
SERVERS = [pytest.param(row.values[0], marks=row.marks) for row in RUNTIMES]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """The server that the parameter names."""
    found: Server = request.getfixturevalue(request.param)
    return found


async def _start(client: ReplClient) -> str:
    session: str = (await client.ask("open"))["payload"]["session"]
    await client.eval("acknowledged = []; counter = 0")
    return session


async def _check(client: ReplClient, acknowledged: list[int]) -> None:
    assert (await client.eval(CHECK))["output"] == repr((acknowledged, len(acknowledged)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("server", "kill"), RUNTIMES, indirect=["server"])
async def test_a_worker_killed_in_the_middle_of_an_eval_costs_that_eval_only(
    server: Server, kill: Callable[[str], None]
):
    """The cause comes in-band within a second; the next eval sees every variable of the last commit. 20 times."""
    acknowledged: list[int] = []
    slowest_s = 0.0
    async with connect(server.url, TOKEN) as client:
        session = await _start(client)
        for n in range(KILLS):
            assert (await client.eval(ROUND.format(n=n)))["state"] == "committed"
            acknowledged.append(n)
            client.received.clear()
            running = await client.send("eval", {"code": RUNNING, "stream": True})
            await client.wait_for(lambda e: e["type"] == "stream")
            worker, began = worker_of(server, session), time.monotonic()
            kill(worker)
            died = time.monotonic()
            error = await client.terminal(running)
            slowest_s = max(slowest_s, time.monotonic() - died)
            assert error["type"] == "error" and error["payload"]["code"] in CAUSES, (error, began)
            await _check(client, acknowledged)

    assert slowest_s < TOLD_WITHIN_S


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_a_server_killed_loses_nothing_acknowledged(server: Server):
    """kill -9, start again, attach: every variable, the same seq and etag. 20 times."""
    acknowledged: list[int] = []
    async with connect(server.url, TOKEN) as client:
        session = await _start(client)
    for n in range(KILLS):
        async with connect(server.url, TOKEN) as client:
            await client.ask("attach", {"session": session})
            answer = await client.eval(ROUND.format(n=n))
            acknowledged.append(n)
            await server.kill()
        await server.start()
        async with connect(server.url, TOKEN) as client:
            bound = (await client.ask("attach", {"session": session}))["payload"]
            assert (bound["seq"], bound["etag"]) == (answer["seq"], answer["etag"])
            await _check(client, acknowledged)


@pytest.mark.bubblewrap
async def test_an_eval_that_runs_while_the_server_dies_has_no_effect_on_the_embedded_default(embedded: Server):
    """Embedded workers die with their server: the unfinished eval never happened, and its id may be sent again."""
    async with connect(embedded.url, TOKEN) as client:
        session = await _start(client)
        await client.send("eval", {"code": RUNNING, "stream": True})
        await client.wait_for(lambda e: e["type"] == "stream")
        await embedded.kill()
    await embedded.start()
    async with connect(embedded.url, TOKEN) as client:
        await client.ask("attach", {"session": session})
        await _check(client, [])


@pytest.mark.docker
async def test_an_eval_goes_on_in_its_container_while_the_server_dies(on_docker: Server):
    """Docker workers outlive their server: the new one adopts it, commits the eval, and the id answers with it."""
    body = {"code": "import time\ntime.sleep(3)\ncounter += 5\ncounter"}
    async with connect(on_docker.url, TOKEN) as client:
        session = await _start(client)
        worker = worker_of(on_docker, session)
        await client.send("eval", body, id_="long")
        await client.ask("ping")
        await on_docker.kill()
    await on_docker.start()
    async with connect(on_docker.url, TOKEN) as client:
        await client.ask("attach", {"session": session})
        answer = await client.ask("eval", body, id_="long")

        assert (answer["payload"]["output"], answer["payload"]["state"]) == ("5", "committed")
        assert worker_of(on_docker, session) == worker
        assert (await client.eval("counter"))["output"] == "5"
