"""A network between a client and a server that can be cut, loudly or without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from support.relay import Line, Relay


class Network(Relay):
    """Listens on a TCP port of its own and passes everything on to the server, while it is whole."""

    def __init__(self, upstream_url: str) -> None:
        upstream = urlsplit(upstream_url)
        super().__init__((str(upstream.hostname), int(upstream.port or 0)))
        self._whole = asyncio.Event()
        self._whole.set()
        self._deaf = False

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://127.0.0.1:{self.port}"

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

    async def accepts(self) -> None:
        """See `Relay`."""
        await self._whole.wait()

    async def passes(self, line: Line, data: bytes, *, down: bool) -> bytes | None:
        """See `Relay`. Each way is lost by itself: deaf clients can still be heard."""
        lost = line.down_is_lost if down else line.up_is_lost
        lost = lost or not self._whole.is_set() or (down and self._deaf)
        if down:
            line.down_is_lost = lost
        else:
            line.up_is_lost = lost
        return b"" if lost else data


@asynccontextmanager
async def network(upstream_url: str) -> AsyncIterator[Network]:
    """One before a server that runs."""
    made = Network(upstream_url)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
