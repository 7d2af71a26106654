"""A front door that has not heard of the last commits, as clients see it: a real one, with another `seq` in its mouth.

It passes everything on. What it changes are the replies to `attach`, and on request the records that the store has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

_PASSED_ON = ("Authorization",)


@dataclass
class LaggingDoor:
    """In front of the server at `upstream`."""

    upstream: str
    http: aiohttp.ClientSession
    reply: dict[str, Any] = field(default_factory=dict)
    """Members of each reply to `attach` that are said in the place of the true ones."""
    record_status: int = 200
    """Of each answer about a session; 200 for the true answer."""
    looks: int = 0
    """How often somebody asked for a session's record."""
    url: str = ""
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._relay(request, headers)
        self.looks += 1
        if self.record_status != 200:
            return web.json_response({}, status=self.record_status)
        async with self.http.get(self.upstream.replace("ws://", "http://") + request.path, headers=headers) as answer:
            return web.Response(
                body=await answer.read(), status=answer.status, headers={"Content-Type": answer.content_type}
            )

    async def _relay(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        client = web.WebSocketResponse(protocols=("bascule.v1",), max_msg_size=0)
        await client.prepare(request)
        self.sockets.append(client)
        async with self.http.ws_connect(
            self.upstream + request.path, headers=headers, protocols=("bascule.v1",), max_msg_size=0
        ) as server:
            attaches: set[str] = set()
            ways = [
                asyncio.create_task(self._up(client, server, attaches)),
                asyncio.create_task(self._down(server, client, attaches)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        await client.close()
        return client

    async def _up(self, client: Any, server: Any, attaches: set[str]) -> None:
        async for message in client:
            envelope = json.loads(message.data)
            if envelope["type"] == "attach":
                attaches.add(envelope["id"])
            await server.send_str(message.data)

    async def _down(self, server: Any, client: Any, attaches: set[str]) -> None:
        async for message in server:
            envelope = json.loads(message.data)
            if envelope["type"] == "reply" and envelope["id"] in attaches:
                envelope["payload"] |= self.reply
            await client.send_str(json.dumps(envelope))

    async def hang_up(self) -> None:
        """On everybody."""
        for socket in self.sockets:
            await socket.close()
        self.sockets.clear()


@contextlib.asynccontextmanager
async def lagging_door(upstream: str) -> AsyncIterator[LaggingDoor]:
    """Serve on a free port of loopback until the block ends."""
    async with aiohttp.ClientSession() as http:
        door = LaggingDoor(upstream, http)
        app = web.Application()
        app.router.add_route("GET", "/{path:.*}", door.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        door.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield door
        finally:
            await door.hang_up()
            await runner.cleanup()
