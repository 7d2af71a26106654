"""A client on each road that says what no well-behaved client says, and hears how it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from support.client import Envelope, ReplClient, connect
from support.rest import Answered, Rest, rest_of
from support.server import TOKEN

EVAL = '{"id":"i","type":"eval","payload":%s}'
"""A message around a payload that is text; over HTTP the payload is the body."""


@dataclass(frozen=True)
class Said:
    """How a request ended: an error's code and field, or None; and all that the answer holds."""

    code: str | None
    field: str | None
    payload: Envelope

    @property
    def output(self) -> Any:
        """Of an eval that ended well."""
        assert self.code is None, self
        return self.payload["output"]


class Road(Protocol):
    """A client with a session of its own."""

    session: str

    async def say(self, payload: str | bytes) -> Said:
        """An eval whose payload is this text, whatever it is."""

    async def say_whole(self, text: str | bytes) -> Said:
        """Text in the place of a whole message, or of a whole body."""

    async def ask(self, type_: str, payload: Envelope | None = None, *, id_: str | None = None) -> Said:
        """A request; one that is well formed but may be wrong."""

    async def hang_up(self) -> None:
        """Now, whatever is under way."""


class WebSocketRoad:
    """Of a connection; what has no id is answered in the order in which it was said."""

    def __init__(self, client: ReplClient, session: str) -> None:
        self.client = client
        self.session = session

    async def say(self, payload: str | bytes) -> Said:
        """See `Road`."""
        head, tail = EVAL.split("%s")
        text = payload if isinstance(payload, str) else payload.decode("utf-8", "surrogateescape")
        return await self.say_whole(f"{head}{text}{tail}")

    async def say_whole(self, text: str | bytes) -> Said:
        """See `Road`."""
        seen = len(self.client.received)
        await self.client.socket.send_str(text if isinstance(text, str) else text.decode())
        return _of_envelope(await self.client.wait_for(lambda said: said["type"] in ("error", "result"), seen=seen))

    async def ask(self, type_: str, payload: Envelope | None = None, *, id_: str | None = None) -> Said:
        """See `Road`."""
        return _of_envelope(await self.client.ask(type_, payload, id_=id_))

    async def hang_up(self) -> None:
        """See `Road`."""
        await self.client.close()


def _of_envelope(envelope: Envelope) -> Said:
    payload = envelope["payload"]
    if envelope["type"] != "error":
        return Said(None, None, payload)
    field = payload.get("field")
    return Said(payload["code"], field and field.removeprefix("payload."), payload)


class HttpRoad:
    """Of a session's address."""

    def __init__(self, rest: Rest, session: str) -> None:
        self.rest = rest
        self.session = session
        self.place = f"/v1/sessions/{session}"
        self._asking: set[asyncio.Task[Answered]] = set()

    async def say(self, payload: str | bytes) -> Said:
        """See `Road`."""
        return await self.say_whole(payload)

    async def say_whole(self, text: str | bytes) -> Said:
        """See `Road`."""
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        headers = {"Content-Type": "application/json"}
        return _of_answer(await self._ask("POST", f"{self.place}/evals", data=data, headers=headers))

    async def ask(self, type_: str, payload: Envelope | None = None, *, id_: str | None = None) -> Said:
        """See `Road`. What is no address here is one that nothing is served at."""
        headers = {} if id_ is None else {"Idempotency-Key": id_}
        if type_ == "attach":
            session, cursor = (payload or {})["session"], (payload or {}).get("cursor")
            place = f"/v1/sessions/{session}"
            more: Envelope = {} if cursor is None else {"params": {"cursor": cursor}}
            answer = await self._ask("GET", place if cursor is None else f"{place}/events", **more)
        elif type_ in ("history", "variables"):
            answer = await self._ask("GET", f"{self.place}/{type_}", params=payload or {})
        else:
            where = {"eval": "evals"}.get(type_, type_)
            answer = await self._ask("POST", f"{self.place}/{where}", json=payload or {}, headers=headers)
        return _of_answer(answer)

    async def _ask(self, method: str, path: str, **more: Any) -> Answered:
        task = asyncio.create_task(self.rest.ask(method, path, **more))
        self._asking.add(task)
        try:
            return await task
        finally:
            self._asking.discard(task)

    async def hang_up(self) -> None:
        """See `Road`."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)


def _of_answer(answer: Answered) -> Said:
    body = answer.json if answer.body else {}
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", answer
        return Said(body["code"], body.get("field"), body)
    return Said(None, None, body.get("result", body))


@asynccontextmanager
async def by_websocket(url: str, session: str | None = None) -> AsyncIterator[Road]:
    """With a session of its own, or in one that is there."""
    async with connect(url, TOKEN) as client:
        bound = await (client.ask("open") if session is None else client.ask("attach", {"session": session}))
        yield WebSocketRoad(client, bound["payload"]["session"])


@asynccontextmanager
async def by_http(url: str, session: str | None = None) -> AsyncIterator[Road]:
    """The same."""
    async with rest_of(url, TOKEN) as rest:
        yield HttpRoad(rest, session or (await rest.opened()).rsplit("/", 1)[-1])


ROADS: dict[str, Callable[..., AbstractAsyncContextManager[Road]]] = {"websocket": by_websocket, "http": by_http}

on_both_roads = pytest.mark.parametrize("road_name", list(ROADS))
"""For a test that takes the name of a road."""
