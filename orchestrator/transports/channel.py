"""A WebSocket as a Channel: the least work per message, and memory that a client who does not read cannot fill.

Messages are written straight to the socket's transport while its buffer is below the limit. Above it `offer` says no
and `send` waits, so that pressure travels back to whoever makes the messages, down to the tenant's `print`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from orchestrator.telemetry.metrics import Traffic
from orchestrator.transports.configuration import ChannelConfig
from orchestrator.transports.frames import PING, pong_frame, text_frame

REASON_BYTES_MAX: Final = 123
"""Of a close frame's reason (RFC 6455, section 5.5)."""


class Arrivals:
    """Counts what a socket hands us, so that a message that has begun and does not end can be noticed."""

    __slots__ = ("chunks",)

    def __init__(self) -> None:
        self.chunks = 0


class WebSocketChannel:
    """Implements `ports.Channel`. One task receives; any may send, one at a time."""

    __slots__ = (
        "_arrivals", "_chunks_taken", "_closed", "_config", "_sending", "_socket", "_traffic", "_transport", "_writer",
        "close_code", "controls", "waiting",
    )  # fmt: skip

    def __init__(
        self, socket: web.WebSocketResponse[bool], writer: AbstractStreamWriter, transport: asyncio.Transport,
        arrivals: Arrivals, config: ChannelConfig, traffic: Traffic,
    ) -> None:  # fmt: skip
        self._socket = socket
        self._writer = writer
        self._transport = transport
        self._arrivals = arrivals
        self._chunks_taken = arrivals.chunks
        self._config = config
        self._traffic = traffic
        self._closed = False
        self._sending = False
        self.close_code = 0
        """How it ended, 0 as long as it has not."""
        self.controls = 0
        """Control frames since the watch looked last."""
        self.waiting = False
        """Whether we wait for the client, rather than the client for us."""
        transport.set_write_buffer_limits(high=config.send_buffer_bytes_max)

    # --- in -----------------------------------------------------------------------------------------------------

    async def receive(self) -> str | None:
        """The next message, or None when the client has gone or was sent away."""
        while not self._closed:
            self.waiting = True
            message = await self._socket.receive()
            self.waiting = False
            self._chunks_taken = self._arrivals.chunks
            if message.type is WSMsgType.TEXT:
                text = await self._text(message.data)
                if text is not None:
                    return text
            else:
                await self._other(message.type, message.data)
        return None

    async def _text(self, data: bytes) -> str | None:
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            await self.close(1007, "a text message is UTF-8")
            return None
        self._traffic.messages_received += 1
        self._traffic.bytes_received += len(data)
        return text

    async def _other(self, kind: WSMsgType, data: Any) -> None:
        if kind is WSMsgType.PING:
            self.controls += 1
            if self._has_room():
                self._transport.write(pong_frame(bytes(data)))
        elif kind is WSMsgType.PONG:
            self.controls += 1
        elif kind is WSMsgType.BINARY:
            await self.close(1003, "messages are text")
        else:
            self._closed = True
            # A broken frame was answered by aiohttp with the code that its error holds.
            self.close_code = self.close_code or int(getattr(data, "code", None) or self._socket.close_code or 1006)

    # --- out ----------------------------------------------------------------------------------------------------

    def offer(self, text: str) -> bool:
        """Send at once if the client keeps up; see `ports.Channel`."""
        if self._closed:
            return True
        transport = self._transport
        if self._sending or transport.is_closing():
            return not self._sending
        if transport.get_write_buffer_size() >= self._config.send_buffer_bytes_max:
            return False
        self._write(text)
        return True

    async def send(self, text: str) -> None:
        """Send when there is room; a client that makes none in time is sent away."""
        if self._closed:
            return
        self._sending = True
        try:
            if not self._has_room():
                await self._drained()
            if not self._closed and not self._transport.is_closing():
                self._write(text)
        finally:
            self._sending = False

    def _write(self, text: str) -> None:
        message = text.encode("utf-8", "replace")
        traffic = self._traffic
        traffic.messages_sent += 1
        traffic.bytes_sent += len(message)
        self._transport.write(text_frame(message))

    def _has_room(self) -> bool:
        transport = self._transport
        return not transport.is_closing() and transport.get_write_buffer_size() < self._config.send_buffer_bytes_max

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(self._config.slow_client_timeout_s):
                await self._writer.drain()
        except TimeoutError:
            await self.close(1013, "this client reads too slowly")
        except ConnectionError:
            self._closed = True

    # --- the end ------------------------------------------------------------------------------------------------

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye; a client that does not answer it in time is dropped. Repeating does nothing."""
        if self._closed:
            return
        self._closed = True
        self.close_code = code
        limit_s = self._config.close_timeout_s
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(limit_s):
                await self._socket.close(code=code, message=_reason(reason))
        # The transport still has to hand over what it holds, the goodbye included; it gets a little time for that.
        asyncio.get_running_loop().call_later(limit_s, self._transport.abort)

    def drop(self) -> None:
        """End it without a word: the client has vanished."""
        self._closed = True
        self.close_code = self.close_code or 1006
        self._transport.abort()

    # --- for the watch ------------------------------------------------------------------------------------------

    @property
    def chunks(self) -> int:
        """How often something came from the client."""
        return self._arrivals.chunks

    @property
    def has_part(self) -> bool:
        """Whether bytes came that are no whole message yet."""
        return self.waiting and self._arrivals.chunks != self._chunks_taken

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        if not self._transport.is_closing():
            self._transport.write(PING)


def _reason(text: str) -> bytes:
    return text.encode("utf-8")[:REASON_BYTES_MAX].decode("utf-8", "ignore").encode("utf-8")
