"""Where the server is reached: both loopback addresses, health, metrics."""

import socket

import aiohttp
import pytest
from websockets.asyncio.client import connect

from support.front_door import HEADERS, front_door, metric


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
    """Beside the rest on loopback; elsewhere where the operator says, and to who may administer."""
    async with aiohttp.ClientSession() as http:
        async with front_door() as door:
            assert await metric(http, door.http, "bascule_connections") == 0
        async with front_door(settings={"host": "0.0.0.0"}) as door:
            async with http.get(f"{door.http}/metrics") as answer:
                assert answer.status == 401
            async with http.get(f"{door.http}/metrics", headers=HEADERS) as answer:
                assert answer.status == 200
        async with front_door(settings={"metrics_port": 0}) as door:
            async with http.get(f"{door.http}/metrics") as answer:
                assert answer.status == 404
            elsewhere = f"http://127.0.0.1:{door.server.metrics_port}"
            assert await metric(http, elsewhere, "bascule_connections") == 0
