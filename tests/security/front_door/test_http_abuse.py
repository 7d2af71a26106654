"""A stranger without a token against the HTTP side: nothing he sends is believed, waited for, echoed or logged."""

import asyncio
import io
import json
import logging
import zlib
from collections.abc import Iterator

import aiohttp
import pytest
import structlog
from websockets.asyncio.client import connect

from orchestrator.telemetry.logs import configure_logs
from orchestrator.transports.configuration import ChannelConfig
from support.front_door import HEADERS, front_door, metric
from support.raw_http import answer_to, handshake

CANARY = "bsk_canary"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server logs, as JSON lines."""
    root, saved = logging.getLogger(), (logging.getLogger().handlers[:], logging.getLogger().level)
    stream = io.StringIO()
    configure_logs("info", stream=stream)
    yield stream
    root.handlers[:], root.level = saved
    structlog.reset_defaults()


def head(first: str, *lines: str) -> bytes:
    """A request without a body."""
    return "\r\n".join((first, "Host: localhost", *lines, "", "")).encode()


SMUGGLED = {
    "length and chunks": head("GET /livez HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "two lengths": head("GET /livez HTTP/1.1", "Content-Length: 4", "Content-Length: 5") + b"abcde",
    "bare LF": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "folded header": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n",
    "space before the colon": b"GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "NUL in a header": head("GET /livez HTTP/1.1", "X-A: b\0c"),
    "two hosts": head("GET /livez HTTP/1.1", "Host: elsewhere"),
    "chunks that are no last coding": head("GET /livez HTTP/1.1", "Transfer-Encoding: chunked, identity"),
    "huge header": head("GET /livez HTTP/1.1", "X-A: " + "a" * 20_000),
    "10,000 headers": head("GET /livez HTTP/1.1", *(f"X-{n}: a" for n in range(10_000))),
    "long path": head(f"GET /{'a' * 20_000} HTTP/1.1"),
    "unknown method": head("FROB / HTTP/1.1"),
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("request_", SMUGGLED.values(), ids=SMUGGLED)
async def test_c24_what_two_servers_could_read_differently_is_400(request_: bytes, log: io.StringIO) -> None:
    """And the connection ends, with a problem that names no software, and one line in the log at most."""
    async with front_door() as door:
        said = await answer_to(door.server.port, request_ + head("GET /metrics HTTP/1.1"))
    status, _, body = said.partition(b"\r\n\r\n")
    assert b" 400 " in status.splitlines()[0]
    assert b"Server: bascule" in status and b"aiohttp" not in said and said.count(b"Server:") == 1
    assert json.loads(body)["code"] == "bad_request"
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == ["request refused"]


async def test_l01_a_token_in_a_broken_request_is_neither_echoed_nor_logged(log: io.StringIO) -> None:
    """A header that is too long, and the subprotocols where some clients put their token."""
    long_one = head("GET / HTTP/1.1", f"Authorization: Bearer {CANARY}{'x' * 9000}")
    offered = handshake("wrong", f"Sec-WebSocket-Protocol: bearer.{CANARY}\r\nConnection: close\r\n")
    async with front_door() as door:
        for request in (long_one, offered):
            assert CANARY.encode() not in await answer_to(door.server.port, request)
    assert log.getvalue()
    assert CANARY not in log.getvalue()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("POST / HTTP/1.1", "Content-Encoding: gzip", "Content-Length: 5") + b"abcde", 415),
        (head("GET /livez HTTP/1.1", "Content-Encoding: br"), 415),
        (head("POST /livez HTTP/1.1", "Content-Length: 5000000000") + b"abcde", 405),
        (head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n", 405),
        (head("GET /livez HTTP/1.1", "Content-Length: 5") + b"abcde", 413),
        (head("OPTIONS / HTTP/1.1", "Origin: https://evil.example"), 405),
    ],
)
async def test_c16_bodies_and_encodings_are_refused_at_once(request_: bytes, status: int, log: io.StringIO) -> None:
    """Nothing waits for the rest, nothing is unpacked, and no origin is allowed by the way."""
    async with front_door() as door:
        said = await answer_to(door.server.port, request_)
    assert f" {status} ".encode() in said.splitlines()[0]
    assert b"application/problem+json" in said and b"Access-Control" not in said
    assert "Traceback" not in log.getvalue()


async def test_c16_a_handshake_with_a_body_is_no_handshake() -> None:
    """Its body would be read as frames by one server and as a body by another."""
    async with front_door() as door:
        said = await answer_to(door.server.port, handshake(more="Content-Length: 5\r\n") + b"hello")
        assert b" 413 " in said.splitlines()[0]
        assert door.engine.guests == []


async def test_c17_a_packed_body_is_never_unpacked() -> None:
    """100 MB of zeros in 100 KB are refused by their first line, and what follows is thrown away as it is."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    async with front_door() as door, connect(door.url, additional_headers=HEADERS) as other:
        request = head("POST / HTTP/1.1", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb
        assert b" 415 " in await answer_to(door.server.port, request)
        await other.send("still here")
        assert await other.recv() == "still here"


async def test_c18_a_client_that_does_not_read_its_responses_is_dropped() -> None:
    """It asks on and on; its place is free again after the time-out for slow readers."""
    async with front_door(channel=ChannelConfig(slow_client_timeout_s=0.3), settings={"sockets_spare_max": 3}) as door:
        # Nobody reads from it, and beyond its limit a stream stops reading from the socket.
        _, writer = await asyncio.open_connection("127.0.0.1", door.server.port, limit=1024)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                while True:
                    writer.write(head("GET /metrics HTTP/1.1") * 100)
                    await writer.drain()
        async with aiohttp.ClientSession() as http:
            assert await metric(http, door.http, "bascule_connections") == 0


async def test_c18_drops_of_headers_do_not_keep_a_handshake_open() -> None:
    """The time-out counts from the beginning, not from the last byte."""
    async with front_door(settings={"handshake_timeout_s": 0.5}) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        ended = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(5):
            while not ended.done():
                writer.write(b"a")
                await asyncio.wait({ended}, timeout=0.05)
        writer.close()
        assert isinstance(ended.exception(), ConnectionResetError) or ended.result() == b""
