"""A connection that is open: a foreign client talks, and every way to end it has its code."""

import asyncio
import resource
import time

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from orchestrator.transports.configuration import ChannelConfig
from support.front_door import HEADERS, front_door, masked, metric, open_raw


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


async def test_a_message_over_the_limit_is_1009() -> None:
    """The limit itself is fine; one byte more ends the connection."""
    channel = ChannelConfig(envelope_bytes_max=1000)
    async with front_door(channel=channel) as door:
        async with connect(door.url, additional_headers=HEADERS) as client:
            await client.send("x" * 1000)
            assert len(await client.recv()) == 1000
        assert await close_code(door.url, "x" * 1001) == 1009
        assert await close_code(door.url, "x" * 2_000_000) == 1009


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


async def test_c19_a_flood_of_pings_is_1008() -> None:
    """Control frames have a rate, and those within it are answered."""
    channel = ChannelConfig(control_frames_per_s_max=50, heartbeat_s=0.4)
    async with front_door(channel=channel) as door:
        async with connect(door.url, additional_headers=HEADERS) as client:
            await (await client.ping(b"hello"))
        assert await close_code(door.url, raw=b"\x89\x80\x00\x00\x00\x00" * 500) == 1008


async def test_c20_a_vanished_client_is_dropped_and_a_quiet_one_is_not() -> None:
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
