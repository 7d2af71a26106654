"""Server-sent events on Docker workers across `kill -9` of the server: nothing missing, nothing twice."""

import asyncio
import contextlib

import aiohttp
import pytest

from support.rest import Event, Rest, events, rest_of
from support.server import TOKEN, Server

pytestmark = [pytest.mark.docker, pytest.mark.redis]

LINES = 1000
KILLS = (300, 600)
"""Lines after which the server dies."""
PATIENCE_S = 90
CODE = f"""
import time
runs = globals().get('runs', 0) + 1
for n in range({LINES}):
    print(n, flush=True)
    time.sleep(0.005)
runs"""


class Listener:
    """A client that goes on from the last id that it has heard, as browsers do."""

    def __init__(self, server: Server, place: str, last: str) -> None:
        self.server = server
        self.place = place
        self.last = last
        self.heard: list[Event] = []
        self.connections = 0
        self.news = asyncio.Condition()

    @property
    def numbers(self) -> list[int]:
        """What was printed and came whole."""
        text = "".join(event.data["payload"]["text"] for event in self.heard if event.type == "stream")
        return [int(line) for line in text.rpartition("\n")[0].split()]

    async def listen(self) -> None:
        """Until the last line has come, over as many connections as it takes."""
        while len(self.numbers) < LINES:
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                async with rest_of(self.server.url, TOKEN) as rest:
                    await self._listen_once(rest)
            await asyncio.sleep(0.05)

    async def _listen_once(self, rest: Rest) -> None:
        headers = {"Last-Event-ID": self.last}
        async with rest.stream("GET", f"{self.place}/events", headers=headers) as response:
            self.connections += 1
            async for event in events(response):
                self.last = event.id or self.last
                async with self.news:
                    self.heard.append(event)
                    self.news.notify_all()
                if len(self.numbers) == LINES:
                    return

    async def has_heard(self, count: int) -> None:
        """Until so many lines have come."""
        async with self.news:
            await self.news.wait_for(lambda: len(self.numbers) >= count)


async def started(server: Server) -> str:
    """A session in which the eval runs; the client that sent it has gone."""
    async with rest_of(server.url, TOKEN) as rest:
        place = await rest.opened()
        await rest.eval(place, "1")
        body, headers = {"code": CODE, "stream": True, "on_disconnect": "continue"}, {"Idempotency-Key": "count"}
        async with rest.stream("GET", f"{place}/events") as response:
            heard = events(response)
            await anext(heard)
            running = asyncio.create_task(rest.ask("POST", f"{place}/evals", json=body, headers=headers))
            while (await anext(heard)).type != "stream":
                pass
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return place


async def test_a_listener_misses_and_doubles_nothing_across_kills(on_docker: Server) -> None:
    """`kill -9` twice in the middle of 1,000 lines; the worker prints on, the listener comes back by its last id."""
    async with asyncio.timeout(PATIENCE_S):
        place = await started(on_docker)
        listener = Listener(on_docker, place, "1.0")
        listening = asyncio.create_task(listener.listen())
        for mark in KILLS:
            await listener.has_heard(mark)
            await on_docker.kill()
            await on_docker.start()
        await listening
        assert listener.numbers == list(range(LINES))
        ids = [event.id for event in listener.heard if event.type == "stream"]
        assert len(ids) == len(set(ids)) and None not in ids
        assert not any(event.type in ("gap", "rolled_back") for event in listener.heard)
        assert listener.connections > len(KILLS)
        async with rest_of(on_docker.url, TOKEN) as rest:
            found = await rest.ask("GET", f"{place}/evals/count")
            assert (found.json["status"], found.json["result"]["output"]) == ("done", "1")
