"""The front door over real sockets, with a foreign WebSocket client: who gets in, what ends a connection, and how."""

import asyncio
import json
import resource
import socket
import time
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Subprotocol

from orchestrator.auth.api_keys import ApiKeys, append_entry, new_key
from orchestrator.auth.chain import Chain
from orchestrator.transports.configuration import ChannelConfig
from support.front_door import HEADERS, TOKEN, front_door

MIB = 1024 * 1024


async def refused(url: str, headers: dict[str, str]) -> Response:
    """The answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers):
            pass
    return caught.value.response


async def close_code(url: str, *messages: str | bytes, raw: bytes | None = None) -> int | None:
    """Send, then read to the end: the code that the server closed with."""
    async with connect(url, additional_headers=HEADERS, max_size=None) as client:
        with pytest.raises(ConnectionClosed) as caught:
            for message in messages:
                await client.send(message)
            if raw is not None:
                client.transport.write(raw)
            async with asyncio.timeout(10):
                while True:
                    await client.recv()
    return caught.value.rcvd.code if caught.value.rcvd else None


@pytest.mark.parametrize("path", ["/", "/v1/ws"])
async def test_a_plain_client_is_served(path: str) -> None:
    """The plainest client, without a subprotocol, holds a conversation."""
    async with front_door() as door, connect(door.url + path, additional_headers=HEADERS) as client:
        for text in ("one", "zwei €", "x" * 200_000):
            await client.send(text)
            assert await client.recv() == text
        assert client.subprotocol is None
        assert door.engine.guests[0][1:] == (None, False)


async def test_the_subprotocol_and_the_session_reach_the_engine() -> None:
    """A client that asks for `bascule.v1` hears everything, and the address names its session."""
    session = "ses_" + "a" * 16 + "_" + "b" * 16
    async with front_door() as door:
        url = f"{door.url}/v1/sessions/{session}/ws"
        async with connect(url, additional_headers=HEADERS, subprotocols=[Subprotocol("bascule.v1")]) as client:
            assert client.subprotocol == "bascule.v1"
            await client.send("leave")
            await client.wait_closed()
            assert client.close_code == 1000
        assert door.engine.guests[0][1:] == (session, True)


async def test_compression_is_not_negotiated() -> None:
    """An offer of permessage-deflate is declined."""
    async with front_door() as door, connect(door.url, additional_headers=HEADERS, compression="deflate") as client:
        assert "Sec-WebSocket-Extensions" not in client.response.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer " + "x" * 5000},
    ],
)
async def test_without_a_good_token_nobody_gets_in(headers: dict[str, str]) -> None:
    """Every failure is 401, in the same words, before the upgrade."""
    async with front_door() as door:
        answer = await refused(door.url, headers)
        assert answer.status_code == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        body = json.loads(answer.body)
        assert (body["code"], body["detail"], body["status"]) == ("unauthenticated", "no valid token", 401)
        assert door.engine.guests == []


async def test_a_token_in_the_address_is_not_looked_at() -> None:
    """A token that would be logged by every proxy does not open the door."""
    async with front_door() as door:
        assert (await refused(f"{door.url}/?token={TOKEN}", {})).status_code == 401


async def test_x_api_key_is_another_way_to_show_the_token() -> None:
    """The header that peers use works as well."""
    async with front_door() as door, connect(door.url, additional_headers={"X-API-Key": TOKEN}) as client:
        await client.send("hello")
        assert await client.recv() == "hello"


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example", 403), ("null", 403), ("http://{host}", 101), ("https://console.example", 101)],
)
async def test_only_known_origins_may_connect(origin: str, status: int) -> None:
    """A browser page of another site is refused, even with a token; the same host and listed origins may."""
    async with front_door(settings={"origins": ("https://console.example",)}) as door:
        said = origin.format(host=f"127.0.0.1:{door.server.port}")
        headers = {**HEADERS, "Origin": said}
        if status == 101:
            async with connect(door.url, additional_headers=headers) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
        else:
            assert (await refused(door.url, headers)).status_code == status


async def test_other_addresses_and_methods_are_problems() -> None:
    """What is not served says so in one shape."""
    async with front_door() as door, aiohttp.ClientSession() as http:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("GET", "/v1/sessions/../etc/ws", 404),
            ("GET", "/v1/sessions/ses_x/ws", 404),
            ("POST", "/", 405),
            ("GET", "/", 426),
        ):
            async with http.request(method, door.http + path) as answer:
                assert answer.status == status
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["status"] == status


async def test_a_message_over_the_limit_is_1009() -> None:
    """The limit itself is fine; one byte more ends the connection."""
    channel = ChannelConfig(envelope_bytes_max=1000)
    async with front_door(channel=channel) as door:
        async with connect(door.url, additional_headers=HEADERS) as client:
            await client.send("x" * 1000)
            assert len(await client.recv()) == 1000
        assert await close_code(door.url, "x" * 1001) == 1009
        assert await close_code(door.url, "x" * 2 * MIB) == 1009


async def test_wrong_kinds_of_messages_have_their_codes() -> None:
    """Binary is 1003, text that is not UTF-8 1007, a broken frame 1002."""
    invalid_text = b"\x81\x82\x00\x00\x00\x00\xff\xfe"
    reserved_bits = b"\xf1\x80\x00\x00\x00\x00"
    async with front_door() as door:
        assert await close_code(door.url, b"bytes") == 1003
        assert await close_code(door.url, raw=invalid_text) == 1007
        assert await close_code(door.url, raw=reserved_bits) == 1002


async def test_a_fault_of_ours_is_1011() -> None:
    """An engine that fails costs the client its connection, with a goodbye, and nobody else anything."""
    async with front_door() as door, connect(door.url, additional_headers=HEADERS) as other:
        assert await close_code(door.url, "fail") == 1011
        await other.send("still here")
        assert await other.recv() == "still here"


async def test_shutting_down_is_1012_and_new_ones_are_refused() -> None:
    """Clients are told to come back; while it drains, new ones hear 503 and the health checks go on."""
    async with front_door() as door, connect(door.url, additional_headers=HEADERS) as client:
        door.server.refuse_new()
        answer = await refused(door.url, HEADERS)
        assert (answer.status_code, json.loads(answer.body)["code"]) == (503, "draining")
        async with aiohttp.ClientSession() as http, http.get(f"{door.http}/livez") as alive:
            assert alive.status == 200
        await client.send("before")
        assert await client.recv() == "before"
        await door.server.stop()
        await client.wait_closed()
        assert client.close_code == 1012


@pytest.mark.parametrize("limit", ["connections_max", "connections_per_tenant_max", "connections_per_address_max"])
async def test_beyond_a_connection_limit_it_is_503_with_a_time(limit: str) -> None:
    """The refused client hears when to come back; a place that is given up can be taken."""
    async with (
        front_door(settings={limit: 2, "retry_after_s": 7}) as door,
        connect(door.url, additional_headers=HEADERS),
    ):
        async with connect(door.url, additional_headers=HEADERS) as leaving:
            answer = await refused(door.url, HEADERS)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
            assert json.loads(answer.body)["retry_after_ms"] == 7000
            await leaving.close()
        async with connect(door.url, additional_headers=HEADERS) as next_one:
            await next_one.send("in")
            assert await next_one.recv() == "in"


async def test_a_client_that_does_not_read_costs_no_memory_and_is_sent_away() -> None:
    """Pressure travels back: the engine's sends wait, the process stays flat, and after the time-out it is 1013."""
    channel = ChannelConfig(send_buffer_bytes_max=64 * 1024, slow_client_timeout_s=1.0, close_timeout_s=0.5)
    async with front_door(channel=channel) as door, aiohttp.ClientSession() as http:
        lazy = await open_raw(door.server.port, receive_buffer_bytes=4096)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with connect(door.url, additional_headers=HEADERS) as other:
            lazy.sendall(masked(b"flood"))
            async with asyncio.timeout(10):
                while (await metric(http, door.http, "bascule_connections")) > 1:
                    began = time.monotonic()
                    await other.send("hello")
                    assert await other.recv() == "hello"
                    assert time.monotonic() - began < 0.5
            grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        lazy.close()
        assert grown_kib < 16 * 1024
        assert door.engine.sent_bytes > 64 * 1024


async def test_a_client_that_reads_again_misses_nothing() -> None:
    """A pause shorter than the time-out costs nothing but time."""
    channel = ChannelConfig(send_buffer_bytes_max=64 * 1024)
    async with (
        front_door(channel=channel) as door,
        connect(door.url, additional_headers=HEADERS, max_queue=1) as client,
    ):
        await client.send("flood")
        assert await stable(lambda: door.engine.sent_bytes) > 0
        door.engine.flooded.set()
        received = 0
        while received < door.engine.sent_bytes:
            received += len(await client.recv())
        assert received == door.engine.sent_bytes


async def stable(read, *, quiet_s: float = 0.3) -> int:
    """The value of a counter once it has stopped growing."""
    value, since = read(), time.monotonic()
    async with asyncio.timeout(10):
        while time.monotonic() - since < quiet_s or not value:
            await asyncio.sleep(0.02)
            if read() != value:
                value, since = read(), time.monotonic()
    return value


async def test_a_message_that_never_ends_is_1008() -> None:
    """A fragment without its rest is not waited for longer than the limit."""
    channel = ChannelConfig(slow_sender_timeout_s=0.4)
    async with front_door(channel=channel) as door:
        fragment = b"\x01\x81\x00\x00\x00\x00x"
        began = time.monotonic()
        assert await close_code(door.url, raw=fragment) == 1008
        assert 0.3 < time.monotonic() - began < 2.0


async def test_a_flood_of_pings_is_1008() -> None:
    """Control frames have a rate, and those within it are answered."""
    channel = ChannelConfig(control_frames_per_s_max=50, heartbeat_s=0.4)
    async with front_door(channel=channel) as door:
        async with connect(door.url, additional_headers=HEADERS) as client:
            await (await client.ping(b"hello"))
        assert await close_code(door.url, raw=b"\x89\x80\x00\x00\x00\x00" * 500) == 1008


async def test_a_vanished_client_is_dropped_and_a_quiet_one_is_not() -> None:
    """Silence is followed by a ping; who does not answer it in time is gone, who does stays."""
    channel = ChannelConfig(heartbeat_s=0.4, pong_timeout_s=0.4)
    async with (
        front_door(channel=channel) as door,
        aiohttp.ClientSession() as http,
        connect(door.url, additional_headers=HEADERS, ping_interval=None) as quiet,
    ):
        silent = await open_raw(door.server.port)
        async with asyncio.timeout(5):
            while (await metric(http, door.http, "bascule_connections")) != 2:
                await asyncio.sleep(0.01)
            while (await metric(http, door.http, "bascule_connections")) != 1:
                await asyncio.sleep(0.05)
        silent.close()
        await asyncio.sleep(1.0)
        await quiet.send("still here")
        assert await quiet.recv() == "still here"


async def test_a_client_whose_engine_is_busy_is_not_dropped() -> None:
    """While it is us who keep the client waiting, its silence is not held against it."""
    channel = ChannelConfig(heartbeat_s=0.2, pong_timeout_s=0.2)
    async with (
        front_door(channel=channel) as door,
        connect(door.url, additional_headers=HEADERS, ping_interval=None) as client,
    ):
        await client.send("hold")
        await asyncio.sleep(1.0)
        door.engine.hold.set()
        await client.send("after")
        assert await client.recv() == "after"


async def test_a_slow_handshake_is_cut() -> None:
    """A socket that never sends its headers is closed in time, and does not delay others."""
    async with front_door(settings={"handshake_timeout_s": 0.5}) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_revoked_key_ends_open_connections(tmp_path: Path) -> None:
    """A key that leaves the file is refused, and who is inside with it is sent away."""
    path = tmp_path / "keys.toml"
    key, entry = new_key("acme", "ci")
    append_entry(path, entry)
    clock = Ticking()
    keys = Chain([ApiKeys(path, monotonic=clock)])
    headers = {"Authorization": f"Bearer {key}"}
    async with front_door(authenticator=keys, settings={"recheck_interval_s": 0.1}) as door:
        async with connect(door.url, additional_headers=headers) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            path.write_text("keys = []\n")
            clock.now += 10
            async with asyncio.timeout(5):
                await client.wait_closed()
            assert client.close_code == 1008
        assert (await refused(door.url, headers)).status_code == 401


class Ticking:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_localhost_is_both_loopback_addresses(host: str, require) -> None:
    """A server on `localhost` is reached over IPv4 and over IPv6, on one port."""
    require(has_ipv6_loopback() or host != "[::1]", "no IPv6 loopback address on this machine")
    async with front_door(settings={"host": "localhost"}) as door:
        assert door.server.url == f"ws://localhost:{door.server.port}"
        async with connect(f"ws://{host}:{door.server.port}", additional_headers=HEADERS) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


def has_ipv6_loopback() -> bool:
    """Whether ::1 can be listened on here."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_health_needs_no_token() -> None:
    """Alive as long as it runs, ready only when the checks are well, and it says which are not."""
    async with front_door() as door, aiohttp.ClientSession() as http:
        door.engine.ready = False
        async with http.get(f"{door.http}/livez") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with http.get(f"{door.http}/readyz?verbose") as answer:
            assert (answer.status, await answer.text()) == (503, "[-] store: as told\nnot ready\n")
        async with http.get(f"{door.http}/healthz") as answer:
            assert answer.status == 503


async def test_metrics_are_served_on_loopback_or_on_a_port_of_their_own() -> None:
    """Beside the rest on loopback; elsewhere only where the operator says."""
    async with aiohttp.ClientSession() as http:
        async with front_door() as door:
            assert await metric(http, door.http, "bascule_connections") == 0
        async with front_door(settings={"host": "0.0.0.0"}) as door, http.get(f"{door.http}/metrics") as answer:
            assert answer.status == 404
        async with front_door(settings={"metrics_port": 0}) as door:
            async with http.get(f"{door.http}/metrics") as answer:
                assert answer.status == 404
            elsewhere = f"http://127.0.0.1:{door.server.metrics_port}"
            assert await metric(http, elsewhere, "bascule_connections") == 0


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
