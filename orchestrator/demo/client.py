"""A small WebSocket client: one request at a time, its events, its terminal."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import aiohttp

from orchestrator.demo.server import DemoError
from replwire.messages import SUBPROTOCOL

ANSWER_TIMEOUT_S: Final = 60.0

Envelope = dict[str, Any]
OnEvent = Callable[[Envelope], Awaitable[None]]

_TERMINALS: Final = frozenset({"result", "reply", "pong", "error"})


class DemoClient:
    """One connection; a task reads it all the time, so that pings are answered while nobody asks anything."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Queue[Envelope | None]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            envelope: Envelope = message.json()
            if envelope.get("id") in self._waiting:
                self._waiting[envelope["id"]].put_nowait(envelope)
        for queue in self._waiting.values():
            queue.put_nowait(None)

    async def send(self, type_: str, **payload: Any) -> str:
        """Send a request; its id."""
        id_ = str(uuid.uuid4())
        self._waiting[id_] = asyncio.Queue()
        await self._socket.send_json({"id": id_, "type": type_, "payload": payload})
        return id_

    async def answer(
        self, id_: str, on_event: OnEvent | None = None, timeout_s: float | None = ANSWER_TIMEOUT_S
    ) -> Envelope:
        """The terminal of a request; `on_event` gets what comes before it. Raises `DemoError`."""
        queue = self._waiting[id_]
        try:
            async with asyncio.timeout(timeout_s):
                while (envelope := await queue.get()) is not None:
                    if envelope["type"] in _TERMINALS:
                        return envelope
                    if on_event is not None:
                        await on_event(envelope)
        except TimeoutError:
            raise DemoError(f"no answer within {timeout_s:g} s") from None
        finally:
            del self._waiting[id_]
        raise DemoError(f"the connection ended with code {self._socket.close_code}")

    async def ask(self, type_: str, **payload: Any) -> Envelope:
        """Send, and the payload of the good answer; raises `DemoError`."""
        envelope = await self.answer(await self.send(type_, **payload))
        if envelope["type"] == "error":
            raise DemoError(f"{envelope['payload']['code']}: {envelope['payload']['message']}")
        found: Envelope = envelope["payload"]
        return found

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[DemoClient]:
    """A client of the server at `url`."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        client = DemoClient(await http.ws_connect(f"{url}/v1/ws", protocols=(SUBPROTOCOL,), max_msg_size=0))
        try:
            yield client
        finally:
            await client.close()
