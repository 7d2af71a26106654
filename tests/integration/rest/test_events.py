"""Events of a session as server-sent events on a real server: nothing missing and nothing twice, however often one
comes back."""

import asyncio
from pathlib import Path

import pytest

from support.rest import Event, Rest, events, rest_of
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PATIENCE_S = 30


async def begin(rest: Rest, place: str) -> str:
    """The cursor of a session before anything is said in it."""
    await rest.eval(place, "1")
    async with rest.stream("GET", f"{place}/events") as response:
        first = await anext(events(response))
    cursor: str = first.data["payload"]["cursor"]
    return cursor


def numbers(heard: list[Event]) -> list[int]:
    """What was printed, as numbers."""
    text = "".join(event.data["payload"]["text"] for event in heard if event.type == "stream")
    return [int(line) for line in text.split()]


async def test_a_listener_that_comes_back_misses_nothing(embedded: Server) -> None:
    """It hangs up again and again while the eval runs, and goes on from its last id each time."""
    code = "import time\nfor n in range(300): print(n); time.sleep(0.004)"
    async with rest_of(embedded.url, TOKEN) as rest, asyncio.timeout(PATIENCE_S):
        place = await rest.opened()
        last = await begin(rest, place)
        heard: list[Event] = []
        running = asyncio.create_task(rest.eval(place, code, stream=True))
        connections = 0
        while not numbers(heard) or numbers(heard)[-1] != 299:
            connections += 1
            headers = {"Last-Event-ID": last}
            async with rest.stream("GET", f"{place}/events?cursor=0.0", headers=headers) as response:
                count = 0
                async for event in events(response):
                    heard.append(event)
                    last = event.id or last
                    count += event.type == "stream"
                    if count >= 40 or (event.type == "stream" and "299" in event.data["payload"]["text"]):
                        break
        assert (await running)["error"] is None
        assert connections > 3
        assert numbers(heard) == list(range(300))
        ids = [event.id for event in heard if event.type == "stream"]
        assert len(ids) == len(set(ids))


async def test_what_is_no_longer_kept_is_announced(embedded: Server) -> None:
    """More was said than is kept: a gap is told of, and the rest is there."""
    async with rest_of(embedded.url, TOKEN) as rest, asyncio.timeout(PATIENCE_S):
        place = await rest.opened()
        cursor = await begin(rest, place)
        await rest.eval(place, "print('x' * 1_500_000)", stream=True)
        await rest.eval(place, "print('end')", stream=True)
        types, text = [], ""
        async with rest.stream("GET", f"{place}/events?cursor={cursor}") as response:
            async for event in events(response):
                types.append(event.type)
                text += event.data["payload"]["text"] if event.type == "stream" else ""
                if event.type == "reply":
                    break
        assert types.count("gap") == 1
        assert text.rstrip().endswith("end")


async def test_c28_an_absurd_cursor_is_refused(embedded: Server) -> None:
    """As a problem, before anything is sent."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        for cursor in ("x", "1", "-1.2", "1.-2", "1.2.3", "9" * 30 + ".1", "%00", "1.2%0a"):
            answer = await rest.ask("GET", f"{place}/events?cursor={cursor}")
            assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_message", "cursor")


async def test_a_stream_ends_with_its_session_and_its_server(state: Path) -> None:
    """Heartbeats in between; who listens hears why, and the stream is whole."""
    server = Server(state / "state", "--embedded", "--set", "channel.heartbeat_s=0.1")
    await server.start()
    async with rest_of(server.url, TOKEN) as rest, asyncio.timeout(PATIENCE_S):
        place, other = await rest.opened(), await rest.opened()
        async with rest.stream("GET", f"{other}/events") as response, rest.stream("GET", f"{place}/events") as waiting:
            raw = b""
            while raw.count(b"\n: \n") < 2:
                raw += await waiting.content.readany()
            assert (await rest.ask("DELETE", other)).status == 204
            heard = [event async for event in events(response)]
            assert heard[-1].data["payload"]["status"] == "closing"
            stopping = asyncio.create_task(server.stop())
            rest_of_it = await waiting.content.read()
            assert b"event: going_away" in rest_of_it and rest_of_it.endswith(b"\n\n")
            await stopping
