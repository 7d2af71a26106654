"""Group C of the catalogue on both roads: bytes that are too many, packed, or no protocol at all."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

import pytest

from support.raw_http import TEXT, frame, handshake
from support.rest import rest_of
from support.roads import on_both_roads
from support.rude import hears, post, session_of, verdict
from support.server import TOKEN, Server
from support.undisturbed import undisturbed

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

MIB = 1024 * 1024
OVER = 2 * MIB
"""Twice the limit."""
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"

TOO_LARGE: dict[str, dict[str, Callable[[str], tuple[bytes, ...]]]] = {
    "in one": {
        "websocket": lambda session: (handshake(TOKEN), frame(TEXT, b"x" * OVER)),
        "http": lambda session: (post(session, f"Content-Length: {OVER}"), b"x" * OVER),
    },
    "announced": {
        "websocket": lambda session: (handshake(TOKEN), frame(TEXT, b"x", announced=2**63)),
        "http": lambda session: (post(session, f"Content-Length: {2**63}"), b"x"),
    },
    "in pieces": {
        "websocket": lambda session: (handshake(TOKEN), frame(0x01, b"x"), *[frame(0x00, b"x" * 65536)] * 32),
        "http": lambda session: (
            post(session, "Transfer-Encoding: chunked"),
            *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 32,
        ),
    },
}


@on_both_roads
@pytest.mark.parametrize("form", TOO_LARGE)
async def test_c01_what_is_too_large_is_refused_and_not_kept(embedded: Server, road_name: str, form: str) -> None:
    """Fifty times, whatever way it comes: memory stays where it was, and nothing of it is run."""
    async with rest_of(embedded.url, TOKEN) as rest, undisturbed(embedded):
        session = await session_of(rest)
        pieces = TOO_LARGE[form][road_name](session)
        for _ in range(5):
            said = await asyncio.gather(*(hears(embedded, *pieces) for _ in range(10)))
            # A client that has not stopped sending when it is hung up on may not hear why.
            assert {verdict(one) for one in said if one.count(b"\r\n\r\n")} <= {1009, 411, 413}
        if form == "announced":
            assert verdict(await hears(embedded, *pieces)) in (1009, 413)
        assert (await rest.ask("GET", f"/v1/sessions/{session}")).json["seq"] == 0


@on_both_roads
async def test_c16_c17_nothing_is_packed_or_unpacked(embedded: Server, road_name: str) -> None:
    """A bomb in a message or a body is refused by its first bytes; answers come as they are, whatever is offered."""
    packer = zlib.compressobj(9, wbits=31 if road_name == "http" else -15)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nAccept-Encoding: gzip, br\r\n"
    async with rest_of(embedded.url, TOKEN) as rest, undisturbed(embedded):
        session = await session_of(rest)
        if road_name == "websocket":
            said = await hears(embedded, handshake(TOKEN, offer), frame(0xC1, bomb))
            assert b"Sec-WebSocket-Extensions" not in said.partition(b"\r\n\r\n")[0]
            assert verdict(said) == 1002
        else:
            head = post(session, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
            assert verdict(await hears(embedded, head, bomb)) == 415
            answer = await rest.ask("GET", "/openapi.json", headers={"Accept-Encoding": "gzip, deflate, br"})
            assert "Content-Encoding" not in answer.headers


async def test_c15_broken_frames_are_1002_and_disturb_nobody(embedded: Server) -> None:
    """Each kind, many times, on a server that others use."""
    broken = [frame(0xF1, b""), frame(0x83, b""), frame(TEXT, b"{}", mask=False), frame(0x80, b"x"), frame(0x09, b"")]
    async with undisturbed(embedded):
        for piece in broken:
            said = await asyncio.gather(*(hears(embedded, handshake(TOKEN), piece) for _ in range(20)))
            assert {verdict(one) for one in said} == {1002}


SMUGGLED = (
    b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    b"GET /livez HTTP/1.1\nHost: a\n\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(10_000)) + b"\r\n",
)


async def test_c24_what_two_servers_could_read_differently_disturbs_nobody(embedded: Server) -> None:
    """400 and the end of the connection, many times; what follows on it is not served."""
    async with undisturbed(embedded):
        for request in SMUGGLED:
            said = await asyncio.gather(*(hears(embedded, request + b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                                          for _ in range(20)))  # fmt: skip
            # A client that has not stopped sending when it is hung up on may not hear why.
            assert {verdict(one) for one in said if one} <= {400}
            assert not any(b"bascule_build_info" in one for one in said)
