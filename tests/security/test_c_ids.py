"""Group C of the catalogue on both roads: ids that come twice, too many evals at once, and clients that hang up."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from support.client import ReplClient, connect
from support.network import network
from support.redis_server import RedisServer
from support.rest import Rest, rest_of
from support.roads import ROADS, Road, WebSocketRoad, on_both_roads
from support.server import TOKEN, Server
from support.undisturbed import undisturbed

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

AT_ONCE = 1000
SOCKETS_MAX = 200
"""Of the client that sends them over HTTP."""
PATIENCE_S = 60


@on_both_roads
async def test_c10_c11_an_id_runs_once(embedded: Server, road_name: str) -> None:
    """The same body gets the stored answer, another body a conflict; on the other road too."""
    async with ROADS[road_name](embedded.url) as road, undisturbed(embedded):
        code = {"code": "import os; os.urandom(8)"}
        first = await road.ask("eval", code, id_="once")
        again = await road.ask("eval", code, id_="once")
        other = await road.ask("eval", {"code": "1"}, id_="once")
        assert first.output == again.output
        assert other.code == "conflict"
        for name in ROADS:
            async with ROADS[name](embedded.url, road.session) as another:
                assert (await another.ask("eval", code, id_="once")).output == first.output
                assert (await another.ask("eval", {"code": "1"}, id_="once")).code == "conflict"
        assert (await road.ask("eval", {"code": "1"})).payload["seq"] == 2


@pytest.mark.parametrize("names", [("websocket", "websocket"), ("http", "http"), ("websocket", "http")])
async def test_c12_the_same_id_at_once_on_two_connections_runs_once(embedded: Server, names: tuple[str, str]) -> None:
    """Both get the one result, whichever roads they came by."""
    body = {"code": "import os, time; time.sleep(0.3); os.urandom(8)"}
    async with ROADS[names[0]](embedded.url) as one, ROADS[names[1]](embedded.url, one.session) as other:
        async with undisturbed(embedded):
            answers = await asyncio.gather(one.ask("eval", body, id_="same"), other.ask("eval", body, id_="same"))
        assert answers[0].output == answers[1].output
        assert {answer.payload["seq"] for answer in answers} == {1}
        assert (await one.ask("eval", {"code": "1"})).payload["seq"] == 2


@on_both_roads
async def test_c23_a_thousand_evals_at_once_are_answered_each(freely_asked: Server, road_name: str) -> None:
    """As many as may wait are run, in order; the others are `busy` with a time, and nothing is lost."""
    async with ROADS[road_name](freely_asked.url) as road, undisturbed(freely_asked):
        assert (await road.ask("eval", {"code": "import time; ran = []"})).code is None
        slots = asyncio.Semaphore(AT_ONCE if isinstance(road, WebSocketRoad) else SOCKETS_MAX)
        answers = await asyncio.gather(*(_appended(road, n, slots) for n in range(AT_ONCE)))
        refused = [answer.payload for answer in answers if answer.code is not None]
        assert {(error["code"], error["retryable"]) for error in refused} == {("busy", True)}
        assert all(error["retry_after_ms"] > 0 for error in refused)
        order = [
            n for _, n in sorted((answer.payload["seq"], n) for n, answer in enumerate(answers) if not answer.code)
        ]
        assert 16 < len(order) < AT_ONCE
        assert (await road.ask("eval", {"code": "ran"})).output == repr(order)
        if isinstance(road, WebSocketRoad):
            assert order == sorted(order)


async def _appended(road: Road, number: int, slots: asyncio.Semaphore):
    code = f"time.sleep(0.5 * (not ran)); ran.append({number}); len(ran)"
    async with slots:
        return await road.ask("eval", {"code": code}, id_=f"append-{number}")


async def test_c23_a_principal_that_asks_too_fast_over_http_waits(embedded: Server) -> None:
    """Beyond the rate each request is 429 with a time, before it costs anything; other roads and sessions go on."""
    async with rest_of(embedded.url, TOKEN) as rest, undisturbed(embedded):
        place = await rest.opened()
        answers = await asyncio.gather(*(rest.ask("GET", place) for _ in range(400)))
        codes = Counter(answer.status for answer in answers)
        assert set(codes) == {200, 429} and codes[200] >= 200 - 5
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status == 429)


# --- hanging up -----------------------------------------------------------------------------------------------------

SAYS = "import time\nprint('begun', flush=True)\ntime.sleep(0.3)\nprint('said', flush=True)\ndone = True\n'done'"


async def hung_up_when(road: Road, code: str, *sign: object) -> None:
    """Send an eval, wait for the sign, hang up."""
    leaving = asyncio.create_task(
        road.ask("eval", {"code": code, "stream": True, "on_disconnect": "continue"}, id_="e")
    )
    for awaited in sign:
        await awaited  # type: ignore[misc]
    await road.hang_up()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)


async def heard(observer: ReplClient, text: str) -> None:
    """Until the session has said it."""
    await observer.wait_for(lambda said: said["type"] == "stream" and text in said["payload"]["text"])


async def outcome(rest: Rest, place: str) -> dict:
    """Of the eval, once it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await rest.ask("GET", f"{place}/evals/e")
            if answer.status == 200 and answer.json["status"] == "done":
                result: dict = answer.json["result"]
                return result
            await asyncio.sleep(0.05)


async def accepted(rest: Rest, place: str) -> None:
    """Until the server has the eval in hand."""
    async with asyncio.timeout(PATIENCE_S):
        while (await rest.ask("GET", f"{place}/evals/e")).status != 200:
            await asyncio.sleep(0.02)


@on_both_roads
@pytest.mark.parametrize("phase", ["queued", "running", "committing"])
async def test_c26_an_eval_whose_client_hangs_up_goes_on(
    on_bubblewrap: Server, redis_server: RedisServer, road_name: str, phase: str
) -> None:
    """While it waits, runs or is committed: it ends as it would have, once, and its outcome is there by its id."""
    url = on_bubblewrap.url
    async with (
        rest_of(url, TOKEN) as rest,
        connect(url, TOKEN) as observer,
        ROADS[road_name](url) as road,
        undisturbed(on_bubblewrap),
    ):
        place = f"/v1/sessions/{road.session}"
        await observer.ask("attach", {"session": road.session})
        await observer.eval("done = False; import time")
        if phase == "queued":
            first = await observer.send("eval", {"code": "print('first'); time.sleep(0.7)", "stream": True})
            await hung_up_when(road, SAYS, heard(observer, "first"), accepted(rest, place))
            await observer.terminal(first)
        elif phase == "running":
            await hung_up_when(road, SAYS, heard(observer, "begun"))
        else:
            await _hung_up_while_committing(road, observer, redis_server)
        result = await outcome(rest, place)
        assert (result["output"], result["state"]) == ("'done'", "committed")
        assert (await observer.eval("done"))["output"] == "True"


async def _hung_up_while_committing(road: Road, observer: ReplClient, redis: RedisServer) -> None:
    """The store hangs from the middle of the eval until its client has gone."""
    leaving = asyncio.create_task(hung_up_when(road, SAYS, heard(observer, "said"), asyncio.sleep(0.1)))
    await heard(observer, "begun")
    redis.pause()
    await leaving
    redis.resume()


@on_both_roads
async def test_c26_a_client_that_hangs_up_before_it_has_heard_its_result(embedded: Server, road_name: str) -> None:
    """The answer went out and never arrived: it is there for whoever asks for it, on either road."""
    async with (
        network(embedded.url) as between,
        ROADS[road_name](between.url) as road,
        rest_of(embedded.url, TOKEN) as rest,
        undisturbed(embedded),
    ):
        code = {"code": "print('x' * 400_000); 'done'"}
        between.deafen()
        leaving = asyncio.create_task(road.ask("eval", code, id_="e"))
        assert (await outcome(rest, f"/v1/sessions/{road.session}"))["output"] == "'done'"
        assert not leaving.done()
        await road.hang_up()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        for name in ROADS:
            async with ROADS[name](embedded.url, road.session) as another:
                again = await another.ask("eval", code, id_="e")
                assert (again.output, len(again.payload["stdout"])) == ("'done'", 400_001)
