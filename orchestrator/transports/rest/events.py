"""Envelopes as server-sent events (WHATWG HTML, section 9.2): a Channel that writes no faster than its client reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web

from orchestrator.transports.configuration import ChannelConfig
from orchestrator.transports.rest.exchange import TERMINALS
from orchestrator.transports.rest.single import SingleRequest
from replwire.envelopes import Json

EVENT_STREAM: Final = "text/event-stream"
HEARTBEAT: Final = b": \n\n"
"""A comment: keeps proxies from hanging up, and finds out that a client has."""
RECONNECT_MS: Final = 1000
"""What a browser waits before it comes back with its last cursor."""

_log = structlog.get_logger("bascule.transport")

Begin = Callable[[], Awaitable[web.StreamResponse]]
"""Begins the response, once there is something to write."""


class EventChannel(SingleRequest):
    """Implements `ports.Channel`. `ends` says whether the terminal of the request is the last event."""

    def __init__(self, request: Json, begin: Begin, config: ChannelConfig, *, ends: bool) -> None:
        super().__init__(request)
        self._id = request["id"]
        self._begin = begin
        self._config = config
        self._ends = ends
        self._beginning = asyncio.Lock()
        self._written_at = time.monotonic()
        self.response: web.StreamResponse | None = None
        self.refusal: Json | None = None
        """The payload of the error that came before anything else."""
        self.lapsed = asyncio.Event()
        """Set when its principal may not listen any more."""

    def offer(self, text: str) -> bool:
        """Nothing is written without waiting; on a stream that has ended, there is nothing to wait for."""
        return self._over.is_set()

    async def send(self, text: str) -> None:
        """Write it as an event, unless it speaks of another request."""
        message = json.loads(text)
        if self._over.is_set() or (self._ends and message.get("id", self._id) != self._id):
            return
        if self.response is None and message["type"] == "error":
            self.refusal = message["payload"]
            self._over.set()
            return
        await self._write(event_of(message, text))
        if self._is_last(message):
            self._over.set()

    def _is_last(self, message: Json) -> bool:
        if self._ends:
            return message["type"] in TERMINALS
        return (message["type"], message["payload"].get("status")) == ("status", "closing")

    async def _write(self, data: bytes) -> None:
        if self._over.is_set():
            return
        try:
            async with asyncio.timeout(self._config.slow_client_timeout_s):
                await (await self._begun()).write(data)
        except TimeoutError:
            _log.info("client lost", cause="it reads its events too slowly")
            self.hang_up()
        except ConnectionError:
            self.hang_up()
        self._written_at = time.monotonic()

    async def _begun(self) -> web.StreamResponse:
        async with self._beginning:
            if self.response is None:
                self.response = await self._begin()
                await self.response.write(b"retry: %d\n\n" % RECONNECT_MS)
            return self.response

    async def beat(self, is_valid: Callable[[], bool]) -> None:
        """Comments while there is nothing to say, also before the first event, for as long as the client may listen:
        an eval that was begun may end."""
        while self._ends or is_valid():
            await asyncio.sleep(self._config.heartbeat_s)
            if time.monotonic() - self._written_at >= self._config.heartbeat_s:
                await self._write(HEARTBEAT)
        self.lapsed.set()

    async def finish(self) -> None:
        """After the last event; a client that does not take it is dropped by its connection."""
        if self.response is not None and not self.has_gone:
            with contextlib.suppress(ConnectionError):
                await self.response.write_eof()


def event_of(message: Json, text: str) -> bytes:
    """An envelope as an event: its cursor, its type and itself, on one line since it is compact JSON."""
    cursor = message.get("cursor")
    id_line = f"id: {cursor}\n" if cursor else ""
    return f"{id_line}event: {message['type']}\ndata: {text}\n\n".encode()
