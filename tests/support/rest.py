"""A client of the REST side for tests: requests in one line, and server-sent events as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from replwire.envelopes import Json


@dataclass(frozen=True)
class Answered:
    """A response that was read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Event:
    """A server-sent event; `data` is the envelope."""

    id: str | None
    type: str
    data: Json


class Rest:
    """Of one server, with one token."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base

    async def ask(self, method: str, path: str, **more: Any) -> Answered:
        """One request, read to its end."""
        async with self.http.request(method, self.base + path, **more) as response:
            return Answered(response.status, response.headers, await response.read())

    async def opened(self, **payload: Any) -> str:
        """The address of a new session."""
        answer = await self.ask("POST", "/v1/sessions", json=payload)
        assert answer.status == 201, answer
        return f"/v1/sessions/{answer.json['session']}"

    async def eval(self, place: str, code: str, *, key: str | None = None, **payload: Any) -> Json:
        """The result of an eval."""
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await self.ask("POST", f"{place}/evals", json={"code": code, **payload}, headers=headers)
        assert answer.status == 200, answer
        assert answer.json["status"] == "done"
        found: Json = answer.json["result"]
        return found

    @asynccontextmanager
    async def stream(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response of events that is hung up on in the end."""
        headers = {"Accept": "text/event-stream", **more.pop("headers", {})}
        async with self.http.request(method, self.base + path, headers=headers, **more) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield response
            response.close()


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Events until the stream ends; comments and retry times are left out."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "data" in fields:
                yield Event(fields.get("id"), fields["event"], json.loads(fields["data"]))
            fields = {}


@asynccontextmanager
async def rest_of(url: str, token: str) -> AsyncIterator[Rest]:
    """A client of a server that runs."""
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, connector=connector, read_bufsize=2**22) as http:
        yield Rest(http, url.replace("ws://", "http://"))
