"""A client with a good token that breaks the WebSocket protocol: the close code of each fault, and nobody else hurt."""

import asyncio
import resource

import pytest
from websockets.asyncio.client import connect

from orchestrator.transports.configuration import ChannelConfig
from support.front_door import HEADERS, front_door
from support.raw_http import BINARY, CLOSE, PING, TEXT, answer_to, close_code, frame, handshake

EURO = "€".encode()
CONTINUED, LAST = 0x00, 0x80


@pytest.mark.parametrize("announced", [1001, 2**31, 2**62, 2**63])
async def test_c01_a_message_is_refused_by_the_length_that_it_announces(announced: int) -> None:
    """Nothing is kept for it, and nothing reaches the engine."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with front_door(channel=ChannelConfig(envelope_bytes_max=1000)) as door:
        assert await close_code(door.server.port, frame(TEXT, b"", announced=announced)) == 1009
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


async def test_c01_fragments_count_together() -> None:
    """Many small ones make a large message too."""
    fragments = [frame(0x01, b"x" * 100), *(frame(CONTINUED, b"x" * 100) for _ in range(10))]
    async with front_door(channel=ChannelConfig(envelope_bytes_max=1000)) as door:
        assert await close_code(door.server.port, *fragments) == 1009


async def test_c02_fragments_without_end_are_1008() -> None:
    """Each of them comes in time, the message never does."""
    channel = ChannelConfig(slow_sender_timeout_s=0.5)
    async with front_door(channel=channel) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        writer.write(handshake() + frame(0x01, b"x"))
        await reader.readuntil(b"\r\n\r\n")
        goodbye = asyncio.ensure_future(reader.read(4))
        async with asyncio.timeout(5):
            while not goodbye.done():
                writer.write(frame(CONTINUED, b"x"))
                await asyncio.wait({goodbye}, timeout=0.05)
        assert (goodbye.result()[0], int.from_bytes(goodbye.result()[2:4], "big")) == (CLOSE, 1008)
        writer.close()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(BINARY, b"{}")], 1003),
        ([frame(TEXT, b"\xff\xfe")], 1007),
        ([frame(TEXT, EURO[:2])], 1007),
        ([frame(TEXT, b"\xed\xa0\x80")], 1007),
        ([frame(CLOSE, b"\x03\xe8\xff")], 1007),
    ],
    ids=["binary", "not UTF-8", "half a character", "a surrogate", "in a goodbye"],
)
async def test_c14_kinds_and_encodings_that_are_not_text(frames: list[bytes], code: int) -> None:
    """Binary is 1003, broken UTF-8 is 1007."""
    async with front_door() as door:
        assert await close_code(door.server.port, *frames) == code


async def test_c14_a_character_may_be_split_between_fragments() -> None:
    """UTF-8 is judged by the message, pings between its fragments are answered."""
    message = [frame(0x01, EURO[:1]), frame(PING, b"?"), frame(LAST, EURO[1:]), frame(CLOSE, b"")]
    async with front_door() as door:
        said = await answer_to(door.server.port, handshake() + b"".join(message))
    assert said.partition(b"\r\n\r\n")[2] == b"\x8a\x01?" + b"\x81\x03" + EURO + b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    "frames",
    [
        [frame(0xC1, b"x")],
        [frame(0xF1, b"")],
        [frame(0x83, b"")],
        [frame(0x8B, b"")],
        [frame(TEXT, b"{}", mask=False)],
        [frame(LAST, b"x")],
        [frame(0x01, b"x"), frame(TEXT, b"y")],
        [frame(PING, b"x" * 126)],
        [frame(0x09, b"")],
        [frame(CLOSE, b"\x03")],
        [frame(CLOSE, b"\x03\xe7")],
    ],
    ids=[
        *("compressed", "reserved bits", "reserved opcode", "reserved control", "no mask", "continues nothing"),
        *("in another message", "long ping", "ping in parts", "half a code", "forbidden code"),
    ],
)
async def test_c15_broken_frames_are_1002(frames: list[bytes]) -> None:
    """Whether or not compression was offered: it is never negotiated."""
    async with front_door() as door, connect(door.url, additional_headers=HEADERS) as other:
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        assert await close_code(door.server.port, *frames, more=offer) == 1002
        await other.send("still here")
        assert await other.recv() == "still here"


@pytest.mark.parametrize(("mask", "code"), [(False, 1002), (True, 1000)])
async def test_c15_the_mask_is_seen_when_bytes_come_one_by_one(mask: bool, code: int) -> None:
    """Behind the handshake's answer, so that each is read by itself."""
    async with front_door() as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        writer.write(handshake())
        await reader.readuntil(b"\r\n\r\n")
        for byte in frame(CLOSE, b"", mask=mask):
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert int.from_bytes((await reader.read())[2:4], "big") == code
        writer.close()
