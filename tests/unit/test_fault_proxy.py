"""The bad network of the campaigns does what it is told, and is whole again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from support.fault_proxy import FAULTS, FaultProxy
from support.runtimes import eventually

PATIENCE_S = 10.0


class _Echo:
    """Sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.got += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> _Echo:
    """What is behind the proxy."""
    return _Echo()


@pytest.fixture(params=["tcp", "unix"])
async def proxy(request: pytest.FixtureRequest, echo: _Echo, tmp_path: Path) -> AsyncIterator[FaultProxy]:
    """One before the echo, on both kinds of socket."""
    if request.param == "unix":
        server = await asyncio.start_unix_server(echo.serve, str(tmp_path / "echo"))
        made = FaultProxy(tmp_path / "echo", tmp_path / "proxy", random=Random(7))
    else:
        server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
        made = FaultProxy(server.sockets[0].getsockname()[:2], random=Random(7))
    await made.start()
    yield made
    await made.stop()
    server.close()


async def _dial(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(proxy.upstream, Path):
        return await asyncio.open_unix_connection(str(proxy.upstream.parent / "proxy"))
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _answer(proxy: FaultProxy, text: bytes) -> bytes:
    reader, writer = await _dial(proxy)
    writer.write(text)
    async with asyncio.timeout(PATIENCE_S):
        found = await reader.readexactly(len(text))
    writer.close()
    return found


async def test_a_whole_one_passes_everything_on(proxy: FaultProxy):
    """More than one piece, both ways."""
    text = bytes(range(256)) * 4000

    assert await _answer(proxy, text) == text


@pytest.mark.parametrize("fault", ["reset", "cut", "truncate"])
async def test_a_line_ends_and_the_next_one_is_whole(proxy: FaultProxy, echo: _Echo, fault: str):
    """Of a frame that was cut a part arrived and no more."""
    reader, writer = await _dial(proxy)
    writer.write(b"first")
    assert await reader.readexactly(5) == b"first"
    proxy.strike(fault)
    writer.write(b"0123456789")
    async with asyncio.timeout(PATIENCE_S):
        try:
            rest = await reader.read()
        except ConnectionError:
            rest = b""
    assert rest == b""
    assert (0 < len(echo.got) - 5 < 10) if fault == "truncate" else echo.got == b"first"
    proxy.mend()

    assert await _answer(proxy, b"again") == b"again"


async def test_a_blackhole_swallows_and_says_nothing_until_it_is_mended(proxy: FaultProxy, echo: _Echo):
    """New connections wait; the old one ends when the network is whole again."""
    reader, writer = await _dial(proxy)
    writer.write(b"first")
    assert await reader.readexactly(5) == b"first"
    proxy.strike("blackhole")
    writer.write(b"lost")
    late = asyncio.create_task(_answer(proxy, b"late"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(1)
    assert echo.got == b"first" and not late.done()
    proxy.mend()

    assert await late == b"late"
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)


async def test_what_is_delayed_arrives(proxy: FaultProxy):
    """Whole, and in order."""
    proxy.strike("delay", delay_s=0.02)

    assert await _answer(proxy, b"slow but sure") == b"slow but sure"


async def test_what_is_held_arrives_when_it_is_released_though_its_sender_has_gone(proxy: FaultProxy, echo: _Echo):
    """A commit that is on its way while its server dies; other lines are not touched."""
    proxy.hold_next(lambda data: b"commit" in data)
    _, writer = await _dial(proxy)
    writer.write(b"commit 1")
    assert await eventually(proxy.holds.is_set)
    writer.close()
    assert await _answer(proxy, b"other") == b"other"
    assert echo.got == b"other"
    proxy.release()

    assert await eventually(lambda: bytes(echo.got) == b"othercommit 1")


async def test_a_fault_that_there_is_not_is_refused(proxy: FaultProxy):
    """And the table has those that there are."""
    with pytest.raises(ValueError, match="earthquake"):
        proxy.strike("earthquake")
    assert set(FAULTS) == {"reset", "cut", "delay", "blackhole", "truncate"}
