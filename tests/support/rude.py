"""What no well-behaved client sends, to a server in a process of its own; and what it says until it hangs up."""

from __future__ import annotations

import asyncio
import contextlib

from support.raw_http import CLOSE
from support.rest import Rest
from support.server import TOKEN, Server

PATIENCE_S = 60
DRIP_S = 0.1
BEARER = f"Authorization: Bearer {TOKEN}\r\n"


def port_of(server: Server) -> int:
    """Where it listens."""
    return int(server.url.rsplit(":", 1)[1])


async def session_of(rest: Rest) -> str:
    """The id of a new session."""
    return (await rest.opened()).rsplit("/", 1)[-1]


def post(session: str, *lines: str, path: str = "evals") -> bytes:
    """The head of a request."""
    first = (f"POST /v1/sessions/{session}/{path} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return ("\r\n".join((*first, *lines)) + "\r\n" + BEARER + "\r\n").encode()


async def hears(server: Server, *pieces: bytes) -> bytes:
    """All that the server says until it hangs up, to a client that sends what it can of these."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    said = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            sending = asyncio.create_task(_send(writer, pieces))
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    said += data
            await sending
    finally:
        writer.close()
    return said


async def _send(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...]) -> None:
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


def verdict(said: bytes) -> int:
    """The close code of a WebSocket behind whatever short frames came before it, or the status of a response."""
    head, _, rest = said.partition(b"\r\n\r\n")
    if b" 101 " not in head.splitlines()[0]:
        return int(head.split()[1])
    while rest and rest[0] != CLOSE:
        assert rest[1] < 126, said
        rest = rest[2 + rest[1] :]
    assert rest, f"no goodbye: {said!r}"
    return int.from_bytes(rest[2:4], "big")


async def dripping(server: Server, beginning: bytes, drop: bytes) -> bytes:
    """What the server says to a client that sends a drop at a time, until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    try:
        writer.write(beginning)
        ended = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(PATIENCE_S):
            while not ended.done():
                writer.write(drop)
                await asyncio.wait({ended}, timeout=DRIP_S)
        return b"" if ended.exception() else ended.result()
    finally:
        writer.close()
