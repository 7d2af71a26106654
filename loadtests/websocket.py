"""A WebSocket client for measuring: as little as RFC 6455 lets a client do, on asyncio's transports.

One message is one `write` and one callback, and pings are answered while nobody listens. No compression, no
extensions, no redirects, no TLS: loopback only.
"""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
from collections import deque
from typing import Final, Self, cast
from urllib.parse import urlsplit

TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
FINAL: Final = 0x80
MASKED: Final = 0x80
HANDSHAKE_TIMEOUT_S: Final = 60.0
SHORT: Final = 126
MEDIUM_MAX: Final = 0xFFFF


class WebSocket(asyncio.Protocol):
    """One connection: `send` text, `receive` the bytes of whole messages, in order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._messages: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._upgraded = False
        self._ended: str | None = None

    @classmethod
    async def connect(cls, url: str, token: str) -> Self:
        """A connection to a `ws://` address; raises `ConnectionError` with the server's words."""
        place = urlsplit(url)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            _, protocol = await loop.create_connection(cls, place.hostname or "", place.port or 80)
            path = (place.path or "/") + (f"?{place.query}" if place.query else "")
            await protocol._upgrade(f"{place.hostname}:{place.port}", path, token)
        return protocol

    async def _upgrade(self, host: str, path: str, token: str) -> None:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        assert self._transport is not None
        self._transport.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        while not self._upgraded:
            await self._news()

    def send(self, text: str) -> None:
        """Hand one message to the transport."""
        if self._ended is not None or self._transport is None:
            raise ConnectionError(self._ended or "not connected")
        self._transport.write(frame(TEXT, text.encode()))

    async def receive(self) -> bytes:
        """The next message; raises `ConnectionError` when there will be none."""
        while not self._messages:
            await self._news()
        return self._messages.popleft()

    def take_quickly(self) -> None:
        """Have the kernel acknowledge what comes next at once, which it does until it changes its mind."""
        if self._transport is not None:
            handle = self._transport.get_extra_info("socket")
            handle.setsockopt(6, 12, 1)  # IPPROTO_TCP, TCP_QUICKACK

    async def close(self) -> None:
        """Say goodbye and hang up."""
        if self._transport is not None and self._ended is None:
            self._transport.write(frame(CLOSE, b"\x03\xe8"))
            self._transport.close()
        self._transport = None

    async def _news(self) -> None:
        if self._ended is not None:
            raise ConnectionError(self._ended)
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- what asyncio calls ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection is there."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears why."""
        self._ended = self._ended or f"connection lost: {exc or 'closed by the server'}"
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Bytes, in whatever pieces."""
        self._buffer += data
        if not self._upgraded and not self._take_response():
            return
        while self._take_frame():
            pass
        if self._messages or self._ended is not None:
            self._wake()

    def _take_response(self) -> bool:
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return False
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self._ended = f"refused: {head.decode('latin-1').splitlines()[0]} {rest.decode('utf-8', 'replace')}"
            self._wake()
            return False
        self._buffer = bytearray(rest)
        self._upgraded = True
        self._wake()
        return True

    def _take_frame(self) -> bool:
        """Consume one frame; False when there is no whole one."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, start = buffer[1] & 0x7F, 2
        if length >= SHORT:
            start = 4 if length == SHORT else 10
            if len(buffer) < start:
                return False
            length = int.from_bytes(buffer[2:start])
        if len(buffer) < start + length:
            return False
        body = bytes(memoryview(buffer)[start : start + length])
        head = buffer[0]
        del buffer[: start + length]
        self._take(head, body)
        return True

    def _take(self, head: int, body: bytes) -> None:
        kind = head & 0x0F
        if kind == CLOSE:
            code = int.from_bytes(body[:2]) if body else 1005
            self._ended = f"closed with {code} {body[2:].decode('utf-8', 'replace')}"
        elif kind == PING and self._transport is not None:
            self._transport.write(frame(PONG, body))
        elif kind in (TEXT, 0):
            if head & FINAL and not self._fragments:
                self._messages.append(body)
                return
            self._fragments += body
            if head & FINAL:
                self._messages.append(bytes(self._fragments))
                self._fragments.clear()


def frame(kind: int, body: bytes) -> bytes:
    """A whole frame, masked as a client's must be."""
    length = len(body)
    if length < SHORT:
        head = bytes((FINAL | kind, MASKED | length))
    elif length <= MEDIUM_MAX:
        head = bytes((FINAL | kind, MASKED | SHORT)) + length.to_bytes(2)
    else:
        head = bytes((FINAL | kind, MASKED | (SHORT + 1))) + length.to_bytes(8)
    mask = random.randbytes(4)
    key = int.from_bytes((mask * (length // 4 + 1))[:length])
    return head + mask + (int.from_bytes(body) ^ key).to_bytes(length)
