"""HTTP and WebSocket as bytes, for what no well-behaved client sends."""

from __future__ import annotations

import asyncio
import struct

from support.front_door import TOKEN

PATIENCE_S = 10.0
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


async def answer_to(port: int, request: bytes) -> bytes:
    """All that the server sends until it hangs up; a server that does not fails the test."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    finally:
        writer.close()


def handshake(token: str = TOKEN, more: str = "") -> bytes:
    """A good handshake; `more` are whole header lines."""
    return f"{HANDSHAKE}Authorization: Bearer {token}\r\n{more}\r\n".encode()


def frame(first: int, payload: bytes, *, announced: int | None = None, mask: bool = True) -> bytes:
    """A frame as a client sends it, its mask all zeros; `announced` is the length that it claims."""
    length, bit = len(payload) if announced is None else announced, 0x80 if mask else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 65536:
        head = struct.pack(">BBH", first, bit | 126, length)
    else:
        head = struct.pack(">BBQ", first, bit | 127, length)
    return head + (bytes(4) if mask else b"") + payload


async def close_code(port: int, *frames: bytes, more: str = "") -> int:
    """The code that the server closes with after these frames."""
    said = await answer_to(port, handshake(more=more) + b"".join(frames))
    head, _, rest = said.partition(b"\r\n\r\n")
    assert b" 101 " in head, head
    opcode, length = rest[0], rest[1]
    assert (opcode, len(rest)) == (CLOSE, 2 + length), rest
    return int(struct.unpack(">H", rest[2:4])[0])
