"""A network between a client and a server that can be cut, loudly or without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Network:
    """Listens on a TCP port of its own and passes everything on to the server, while it is whole."""

    def __init__(self, upstream_url: str) -> None:
        upstream = urlsplit(upstream_url)
        self._host, self._port = upstream.hostname, upstream.port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self._deaf = False
        self.connections = 0
        """That were passed on, so far."""

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """End, and everything with it."""
        self._server.close()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Every connection ends here and now, for both sides; new ones are welcome."""
        for task in tuple(self._tasks):
            task.cancel()

    def cut(self) -> None:
        """What is sent from now on is lost, in both directions; nobody is told. Such a connection never recovers."""
        self._whole.clear()

    def deafen(self) -> None:
        """What the server says from now on is lost; what clients say still arrives."""
        self._deaf = True

    def mend(self) -> None:
        """New connections get through again."""
        self._deaf = False
        self._whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._whole.wait()
            await self._pass_both(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pass_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above_writer = await asyncio.open_connection(self._host, self._port)
        self.connections += 1
        ways = [
            asyncio.create_task(self._pass(reader, above_writer, down=False)),
            asyncio.create_task(self._pass(above_reader, writer, down=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            above_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        lost = False
        while data := await reader.read(1 << 16):
            lost = lost or not self._whole.is_set() or (down and self._deaf)
            if not lost:
                writer.write(data)


@asynccontextmanager
async def network(upstream_url: str) -> AsyncIterator[Network]:
    """One before a server that runs."""
    made = Network(upstream_url)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
