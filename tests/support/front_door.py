"""A real HTTP server on loopback with a scripted engine behind it, for tests of the front door."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from orchestrator.auth.chain import Chain
from orchestrator.auth.dev_token import DevToken
from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator, Channel, TicketOffice
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.configuration import ChannelConfig, HttpConfig
from orchestrator.transports.http_server import HttpServer
from replwire.errors import WireError

TOKEN = "let-me-in"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class ScriptedEngine:
    """Echoes every message; a message that is one of its words makes it do something else."""

    ready: bool = True
    guests: list[tuple[Principal, str | None, bool]] = field(default_factory=list)
    flooded: asyncio.Event = field(default_factory=asyncio.Event)
    sent_bytes: int = 0
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    floods_events: bool = False
    """Whether who attaches is sent events without end."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when such a client is through."""

    async def converse(
        self, channel: Channel, principal: Principal, *, session: str | None = None, told_everything: bool = False,
        lapsed: asyncio.Event | None = None,
    ) -> None:  # fmt: skip
        """One client's connection."""
        self.guests.append((principal, session, told_everything))
        watching = asyncio.create_task(_close_when(lapsed or asyncio.Event(), channel))
        try:
            await self._talk(channel)
        finally:
            watching.cancel()

    async def _talk(self, channel: Channel) -> None:
        while (text := await channel.receive()) is not None:
            if self.floods_events and '"attach"' in text:
                await self._flood_events(channel)
            elif text == "flood":
                await self._flood(channel)
            elif text == "fail":
                raise RuntimeError("as asked")
            elif text == "leave":
                return
            elif text == "hold":
                await self.hold.wait()
            elif not channel.offer(text):
                await channel.send(text)

    async def _flood_events(self, channel: Channel) -> None:
        event = '{"type":"stream","payload":{"name":"stdout","text":"' + "x" * 10_000 + '"},"cursor":"1.1"}'
        while not channel.offer(event) and not self.flooded.is_set():
            await channel.send(event)
            self.sent_bytes += len(event)
        self.left.set()

    async def _flood(self, channel: Channel) -> None:
        line = "x" * 10_000
        while not self.flooded.is_set():
            if not channel.offer(line):
                await channel.send(line)
            self.sent_bytes += len(line)
            await asyncio.sleep(0)

    @property
    def overview(self) -> "ScriptedEngine":
        """Looks at sessions."""
        return self

    async def page(self, principal: Principal, limit: int, cursor: str | None) -> dict[str, Any]:
        """There are none."""
        return {"items": [], "next_cursor": None}

    async def session(self, principal: Principal, session: str) -> dict[str, Any]:
        """There is none."""
        raise WireError("not_found", "no such session")

    async def outcome(self, principal: Principal, session: str, request_id: str) -> dict[str, Any]:
        """There is none."""
        raise WireError("not_found", "no such session")

    @property
    def transfers(self) -> "ScriptedEngine":
        """Sessions as files."""
        return self

    async def export(self, principal: Principal, session: str) -> AsyncIterator[bytes]:
        """There is none."""
        raise WireError("not_found", "no such session")

    async def import_(self, principal: Principal, request_id: str, file: AsyncIterator[bytes]) -> dict[str, Any]:
        """Takes all of it, and finds nothing in it."""
        async for _ in file:
            pass
        raise WireError("bad_message", "this is no exported session")

    async def checks(self) -> list[tuple[str, bool, str]]:
        """What readiness looks at."""
        return [("store", self.ready, "as told")]


async def _close_when(lapsed: asyncio.Event, channel: Channel) -> None:
    await lapsed.wait()
    await channel.close(1008, "as told")


@dataclass
class FrontDoor:
    """A running server and what is behind it."""

    engine: ScriptedEngine
    server: HttpServer
    metrics: Metrics

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self.server.port}"

    @property
    def http(self) -> str:
        """The same for plain HTTP."""
        return f"http://127.0.0.1:{self.server.port}"


@contextlib.asynccontextmanager
async def front_door(
    *,
    channel: ChannelConfig | None = None,
    authenticator: Authenticator | None = None,
    settings: Mapping[str, Any] | None = None,
    tickets: TicketOffice | None = None,
) -> AsyncIterator[FrontDoor]:
    """Serve on a free port of loopback until the block ends; `settings` are fields of `HttpConfig`."""
    config = HttpConfig(**{"host": "127.0.0.1", "port": 0, **(settings or {})})
    engine, metrics = ScriptedEngine(), Metrics()
    who = authenticator or Chain([DevToken(TOKEN)])
    server = HttpServer(engine, who, replace(config, channel=channel or ChannelConfig()), metrics, tickets)
    server.claim_ports()
    await server.start()
    try:
        yield FrontDoor(engine, server, metrics)
    finally:
        engine.flooded.set()
        engine.hold.set()
        await server.stop()


async def metric(http: aiohttp.ClientSession, url: str, name: str) -> float:
    """The value of a metric without labels."""
    async with http.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def open_raw(port: int, receive_buffer_bytes: int | None = None) -> socket.socket:
    """A WebSocket client that reads nothing and answers nothing: a bare socket after the handshake."""
    client = socket.socket()
    if receive_buffer_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    lines = (
        "GET / HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {TOKEN}",
    )
    await loop.sock_sendall(client, ("\r\n".join(lines) + "\r\n\r\n").encode())
    assert b" 101 " in await loop.sock_recv(client, 2048)
    return client


def masked(message: bytes) -> bytes:
    """A short text frame as a client sends it, with a mask of zeros."""
    return bytes((0x81, 0x80 | len(message))) + bytes(4) + message


async def refused(url: str, headers: dict[str, str]) -> Response:
    """The answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers):
            pass
    return caught.value.response
