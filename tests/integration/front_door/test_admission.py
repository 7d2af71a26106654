"""Who gets in over a real socket, and what the others hear: tokens, origins, limits, time-outs, revocation."""

import asyncio
import contextlib
import json
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from orchestrator.auth.api_keys import ApiKeys, append_entry, new_key
from orchestrator.auth.chain import Chain
from support.front_door import HEADERS, TOKEN, front_door, refused


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


@pytest.mark.parametrize("limit", ["connections_max", "connections_per_tenant_max", "connections_per_address_max"])
async def test_c22_beyond_a_connection_limit_it_is_503_with_a_time(limit: str) -> None:
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


async def test_sockets_that_are_no_websockets_are_bounded_too() -> None:
    """Beyond the limit a socket is closed as soon as it is accepted, and one that is given up makes room."""
    async with front_door(settings={"connections_max": 1, "sockets_spare_max": 1}) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.server.port) for _ in range(3)]
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await held[2][0].read() == b""
        for _, writer in held:
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()
        async with connect(door.url, additional_headers=HEADERS) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_c22_one_address_cannot_take_all_sockets() -> None:
    """Beyond its own share it is hung up on, while another address is served; a place given up can be had again."""
    async with front_door(settings={"connections_per_address_max": 1, "sockets_spare_max": 4}) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.server.port) for _ in range(4)]
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await held[3][0].read() == b""
        async with connect(door.url, additional_headers=HEADERS, local_addr=("127.0.0.2", 0)) as other:
            await other.send("hello")
            assert await other.recv() == "hello"
        for _, writer in held:
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()
        async with connect(door.url, additional_headers=HEADERS) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


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
