"""The measuring client against a server that others wrote."""

import asyncio
import json

import pytest
from websockets.asyncio.server import serve

from loadtests.client import ReplClient, RequestFailed
from loadtests.websocket import WebSocket, frame


@pytest.fixture
async def echo():
    """The address of a server that says everything back, in fragments if it is long."""

    async def converse(connection):
        async for message in connection:
            if message == "leave":
                await connection.close(1011, "enough")
            elif len(message) > 70_000:
                await connection.send([message[:10], message[10:]])
            else:
                await connection.send(message)

    async with serve(converse, "127.0.0.1", 0, max_size=None, compression=None) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}/a?b=c"


@pytest.mark.parametrize("length", [0, 1, 3, 125, 126, 127, 65535, 65536, 200_001])
async def test_messages_of_every_length_come_back(echo, length):
    """Each form of the length, and masks over a remainder."""
    socket = await WebSocket.connect(echo, "t")
    text = ("aé\n" * length)[:length]
    socket.send(text)
    assert (await socket.receive()).decode() == text
    await socket.close()


async def test_the_end_is_told_with_its_code(echo):
    """To who waits, and to who sends afterwards."""
    socket = await WebSocket.connect(echo, "t")
    socket.send("leave")
    with pytest.raises(ConnectionError, match="1011 enough"):
        await socket.receive()
    with pytest.raises(ConnectionError):
        socket.send("more")


async def test_a_refusal_is_told_in_the_servers_words():
    """No upgrade: the status and what stands below it."""

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\n\r\nno token")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(ConnectionError, match="401"):
            await WebSocket.connect(f"ws://{host}:{port}", "t")


def test_a_client_masks_what_it_sends():
    """RFC 6455, section 5.3: with a key of its own each time."""
    whole = frame(1, b"hello")
    key, body = whole[2:6], whole[6:]
    assert whole[:2] == bytes((0x81, 0x85))
    assert bytes(byte ^ key[place % 4] for place, byte in enumerate(body)) == b"hello"
    assert len({frame(1, b"hello") for _ in range(20)}) > 1


@pytest.mark.parametrize(("length", "head"), [(125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_lengths_take_as_few_bytes_as_they_can(length, head):
    """RFC 6455, section 5.2: the minimal number of bytes."""
    assert len(frame(1, bytes(length))) == head + 4 + length


@pytest.fixture
async def scripted():
    """A client, and the list of what the server will say to its next request."""
    said: list[dict] = []

    async def converse(connection):
        async for message in connection:
            for envelope in said:
                await connection.send(json.dumps({"id": json.loads(message)["id"]} | envelope))

    async with serve(converse, "127.0.0.1", 0) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        client = await ReplClient.connect(f"ws://{host}:{port}", "t")
        yield client, said
        await client.close()


async def test_a_terminal_ends_its_own_request_only(scripted):
    """Somebody else's is passed over; what was streamed is kept."""
    client, said = scripted
    said += [
        {"type": "stream", "payload": {"name": "stdout", "text": "a"}},
        {"type": "result", "id": "another", "payload": {"output": "wrong"}},
        {"type": "status", "payload": {}},
        {"type": "result", "payload": {"output": "2"}},
    ]
    assert await client.eval("1+1") == {"output": "2"}
    assert client.streamed == ["a"]


async def test_an_error_is_raised_with_its_code(scripted):
    """As `RequestFailed`."""
    client, said = scripted
    said.append({"type": "error", "payload": {"code": "busy", "message": "later"}})
    with pytest.raises(RequestFailed, match="busy: later") as caught:
        await client.eval("1+1")
    assert caught.value.code == "busy"
