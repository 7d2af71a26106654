"""A WebSocket client for tests: sends envelopes, keeps everything that comes, waits for terminals by id."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Envelope = dict[str, Any]
TERMINALS = frozenset({"result", "reply", "pong", "error"})
PATIENCE_S = 60.0


class ReplClient:
    """One connection. `received` is everything that came, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: list[Envelope] = []
        self._news = asyncio.Condition()
        self._ids = itertools.count(1)
        self._reader = asyncio.create_task(self._read())
        self._prefix = f"{time.time_ns():x}"
        self.closed = False
        self.session = ""
        """Id of the session, where whoever opened it noted it."""

    async def _read(self) -> None:
        async for message in self.socket:
            async with self._news:
                self.received.append(message.json())
                self._news.notify_all()
        async with self._news:
            self.closed = True
            self._news.notify_all()

    async def send(self, type_: str, payload: Envelope | None = None, *, id_: str | None = None, **more: Any) -> str:
        """Send an envelope and return its id."""
        id_ = id_ or f"{self._prefix}-{next(self._ids)}"
        await self.socket.send_json(
            {"id": id_, "type": type_, "payload": payload or {}, "timestamp": time.time(), **more}
        )
        return id_

    async def wait_for(
        self, wanted: Callable[[Envelope], bool], *, patience_s: float = PATIENCE_S, seen: int = 0
    ) -> Envelope:
        """The first envelope, past or to come, that is wanted; the first `seen` ones don't count."""

        def found() -> Envelope | None:
            nonlocal seen
            for envelope in self.received[seen:]:
                seen += 1
                if wanted(envelope):
                    return envelope
            return None

        async with asyncio.timeout(patience_s), self._news:
            while (envelope := found()) is None:
                if self.closed:
                    raise ConnectionError(f"closed with {self.socket.close_code}")
                await self._news.wait()
        return envelope

    async def terminal(self, id_: str, *, patience_s: float = PATIENCE_S) -> Envelope:
        """The one envelope that ends a request."""
        return await self.wait_for(lambda e: e.get("id") == id_ and e["type"] in TERMINALS, patience_s=patience_s)

    async def ask(self, type_: str, payload: Envelope | None = None, **more: Any) -> Envelope:
        """Send and wait for the terminal; one that came before, to the same id, is another's."""
        seen = len(self.received)
        id_ = await self.send(type_, payload, **more)
        return await self.wait_for(lambda e: e.get("id") == id_ and e["type"] in TERMINALS, seen=seen)

    async def eval(self, code: str, **payload: Any) -> Envelope:
        """The payload of an eval's `result`; an `error` is an AssertionError."""
        answer = await self.ask("eval", {"code": code, **payload})
        assert answer["type"] == "result", answer
        found: Envelope = answer["payload"]
        return found

    async def over(self) -> int | None:
        """The close code, once the other side has hung up."""
        async with self._news:
            while not self.closed:
                await self._news.wait()
        return self.socket.close_code

    def events(self, type_: str) -> list[Envelope]:
        """What came of a type, so far."""
        return [envelope for envelope in self.received if envelope["type"] == type_]

    async def close(self) -> None:
        """Hang up."""
        await self.socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def connect(url: str, token: str, path: str = "/v1/ws", **more: Any) -> AsyncIterator[ReplClient]:
    """A client of a server that runs."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        socket = await http.ws_connect(url + path, max_msg_size=0, **more)
        client = ReplClient(socket)
        try:
            yield client
        finally:
            await client.close()
