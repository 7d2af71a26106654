"""Servers whose Redis gets into trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from support.client import ReplClient, connect
from support.server import TOKEN, Server

Probe = Callable[[], Awaitable[tuple[int, str]]]


@pytest.fixture
async def client(on_bubblewrap: Server) -> AsyncIterator[ReplClient]:
    """One that hears everything, in a session of its own with `n = 1`."""
    async with connect(on_bubblewrap.url, TOKEN, protocols=["bascule.v1"]) as connected:
        connected.session = (await connected.ask("open"))["payload"]["session"]
        await connected.eval("n = 1")
        yield connected


@pytest.fixture
async def probe(on_bubblewrap: Server) -> AsyncIterator[Probe]:
    """`await probe()`: status and words of `/readyz?verbose`."""
    async with aiohttp.ClientSession() as http:

        async def ask() -> tuple[int, str]:
            async with http.get(on_bubblewrap.url.replace("ws:", "http:") + "/readyz?verbose") as answer:
                return answer.status, await answer.text()

        yield ask
