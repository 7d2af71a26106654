"""Group C of the catalogue on both roads: clients that are too many, too slow, or not there any more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from support.client import connect
from support.raw_http import PING, PONG, TEXT, frame, handshake
from support.rest import rest_of
from support.roads import on_both_roads
from support.rude import BEARER, PATIENCE_S, dripping, hears, port_of, post, session_of, verdict
from support.server import TOKEN, Server
from support.undisturbed import undisturbed
from support.vanishing import vanish

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

MIB = 1024 * 1024
CLIENTS = 200
"""Of one kind at once."""
PLACES = 60
"""For one tenant."""
SPARE = 40
"""Sockets for what is no connection yet."""
STRICT = {
    "server.handshake_timeout_s": 1, "server.body_timeout_s": 1, "channel.slow_sender_timeout_s": 1,
    "channel.slow_client_timeout_s": 1, "channel.heartbeat_s": 1, "channel.pong_timeout_s": 1,
    "server.connections_per_tenant_max": PLACES, "server.connections_max": PLACES, "server.sockets_spare_max": SPARE,
    "server.requests_per_s_max": 10_000, "server.request_burst_max": 10_000,
}  # fmt: skip


@pytest.fixture
async def strict(state: Path) -> AsyncIterator[Server]:
    """A server that waits for nobody longer than a second, so that a test sees it."""
    words = [word for name, value in STRICT.items() for word in ("--set", f"{name}={value}")]
    server = Server(state / "state", "--embedded", *words)
    await server.start()
    yield server
    await server.stop()


@on_both_roads
async def test_c02_what_never_ends_is_not_waited_for(strict: Server, road_name: str) -> None:
    """Fragments of one message, or pieces of one body, each of them in time."""
    async with rest_of(strict.url, TOKEN) as rest, undisturbed(strict):
        session = await session_of(rest)
        if road_name == "websocket":
            said = await dripping(strict, handshake(TOKEN) + frame(0x01, b"x"), frame(0x00, b"x"))
        else:
            said = await dripping(strict, post(session, "Content-Length: 100000") + b'{"code":"', b"x")
        assert verdict(said) == (1008 if road_name == "websocket" else 408)


DRIPS: dict[str, tuple[Callable[[str], bytes], bytes]] = {
    "websocket: headers": (lambda session: handshake(TOKEN)[:-2] + b"X-A: ", b"a"),
    "websocket: a message": (lambda session: handshake(TOKEN) + frame(TEXT, b"", announced=1000), b"x"),
    "http: headers": (lambda session: post(session)[:-2] + b"X-A: ", b"a"),
    "http: a body": (lambda session: post(session, "Content-Length: 1000") + b"{", b" "),
}


@pytest.mark.parametrize("kind", DRIPS)
async def test_c18_two_hundred_clients_that_send_in_drops_are_cut(strict: Server, kind: str) -> None:
    """Each in time, counted from its beginning; meanwhile the others are served."""
    beginning, drop = DRIPS[kind]
    async with rest_of(strict.url, TOKEN) as rest, undisturbed(strict):
        session = await session_of(rest)
        said = await asyncio.gather(*(dripping(strict, beginning(session), drop) for _ in range(CLIENTS)))
        assert len(said) == CLIENTS
        assert {verdict(one) for one in said if one} <= {1008, 408, 503}


async def raw(server: Server, receive_buffer_bytes: int = 4096) -> socket.socket:
    """A client that reads only when it is asked to."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port_of(server)))
    return client


async def listening(server: Server, road_name: str, session: str) -> socket.socket:
    """A client that hears a session's events, and has heard the first."""
    loop, client = asyncio.get_running_loop(), await raw(server)
    if road_name == "websocket":
        message = b'{"id":"a","type":"attach","payload":{"session":"%s"},"timestamp":1}' % session.encode()
        await loop.sock_sendall(client, handshake(TOKEN) + frame(TEXT, message))
    else:
        head = f"GET /v1/sessions/{session}/events HTTP/1.1\r\nHost: localhost\r\n{BEARER}\r\n"
        await loop.sock_sendall(client, head.encode())
    said = b""
    async with asyncio.timeout(PATIENCE_S):
        while b'"cursor"' not in said:
            said += await loop.sock_recv(client, 1024)
    return client


async def sockets_of(server: Server) -> int:
    """Open connections of clients, as the server's own sockets tell."""
    port = f":{port_of(server):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(port) and line[3] == "01" for line in lines)


async def fall_to(server: Server, count: int) -> None:
    """Until no more connections are open."""
    async with asyncio.timeout(PATIENCE_S):
        while await sockets_of(server) > count:
            await asyncio.sleep(0.05)


@on_both_roads
async def test_c20_a_client_that_vanishes_is_noticed_and_its_session_lives_on(strict: Server, road_name: str) -> None:
    """Nothing comes back from it, not even from its kernel: its place is free soon, what it said stays said."""
    async with rest_of(strict.url, TOKEN) as rest, undisturbed(strict):
        place = f"/v1/sessions/{(session := await session_of(rest))}"
        await rest.eval(place, "kept = 1")
        before = await sockets_of(strict)
        client = await listening(strict, road_name, session)
        assert await sockets_of(strict) == before + 1
        vanish(client)
        await fall_to(strict, before)
        assert (await rest.eval(place, "kept"))["output"] == "1"
        client.close()


@on_both_roads
async def test_c21_a_client_that_does_not_read_a_flood_is_hung_up_on(strict: Server, road_name: str) -> None:
    """What is held for it is bounded, its session is not held up for good, and the rest is there for a later look."""
    async with rest_of(strict.url, TOKEN) as rest, undisturbed(strict):
        place = f"/v1/sessions/{(session := await session_of(rest))}"
        await rest.eval(place, "1")
        before = await sockets_of(strict)
        client = await listening(strict, road_name, session)
        flood = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: print('x' * 1000)\n'over'"
        flooding = asyncio.create_task(rest.eval(place, flood, stream=True, key="flood"))
        await fall_to(strict, before + 1)
        result = await flooding
        assert (result["output"], result["receipt"]["output_bytes"] > MIB) == ("'over'", True)
        assert (await rest.eval(place, "2"))["output"] == "2"
        client.close()


def files_of(server: Server) -> int:
    """Open in the server's process."""
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


HUNG_UP = 0
"""In the place of a status: there was no socket for this one."""


async def knock(http: aiohttp.ClientSession, server: Server, road_name: str, session: str, token: str) -> int:
    """The status of coming in."""
    try:
        return await _knock(http, server, road_name, session, token)
    except (aiohttp.ClientConnectionError, ConnectionError):
        return HUNG_UP


async def _knock(http: aiohttp.ClientSession, server: Server, road_name: str, session: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    if road_name == "websocket":
        try:
            async with http.ws_connect(f"{server.url}/v1/ws", headers=headers) as socket_:
                await socket_.receive(timeout=1)
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status
        except TimeoutError:
            pass
        return 101
    url = server.url.replace("ws://", "http://")
    async with http.get(f"{url}/v1/sessions/{session}/events", headers=headers) as answer:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answer.content.read(), 1)
        return answer.status


@on_both_roads
@pytest.mark.parametrize(("token", "inside"), [("wrong", 0), (TOKEN, PLACES)])
async def test_c22_two_hundred_clients_at_once_are_bounded(
    strict: Server, road_name: str, token: str, inside: int
) -> None:
    """Those without a token are refused and made to wait; those with one get what places there are; files in the
    server's hand are bounded, and afterwards whoever comes is let in."""
    async with rest_of(strict.url, TOKEN) as rest, undisturbed(strict):
        session, files_before, sockets_before = await session_of(rest), files_of(strict), await sockets_of(strict)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            knocks = [knock(http, strict, road_name, session, token) for _ in range(CLIENTS)]
            answers = Counter(await asyncio.gather(*knocks))
            assert files_of(strict) <= files_before + PLACES + SPARE
        refused, let_in = answers[401] + answers[429] + answers[503] + answers[HUNG_UP], answers[101] + answers[200]
        assert (refused + let_in, refused >= CLIENTS - inside) == (CLIENTS, True), answers
        assert let_in > inside / 2 or not inside, answers
        await fall_to(strict, sockets_before)
        async with connect(strict.url, TOKEN) as client:
            assert (await client.eval("1"))["output"] == "1"


@pytest.mark.parametrize("first", [PING, PONG])
async def test_c19_a_flood_of_pings_is_1008_and_disturbs_nobody(embedded: Server, first: int) -> None:
    """Ten thousand of them on each of ten connections, as fast as they can be sent."""
    async with undisturbed(embedded):
        flood = [frame(first, b"x" * 100) * 100] * 100
        said = await asyncio.gather(*(hears(embedded, handshake(TOKEN), *flood) for _ in range(10)))
        # One that sends on when it is hung up on may lose the end of what it was told.
        whole = [one for one in said if one.endswith(b"too many control frames")]
        assert whole and {verdict(one) for one in whole} == {1008}
