"""An eval that uses more memory than it may: told as that, and the session goes on without it."""

from __future__ import annotations

import pytest

from support.client import connect
from support.server import TOKEN, Server

SERVERS = [
    pytest.param("embedded", marks=pytest.mark.bubblewrap),
    pytest.param("on_docker", marks=[pytest.mark.docker, pytest.mark.redis]),
]
BOMBS = {
    "at once": "kept = 'lost'\nblock = bytearray(b'x') * (1 << 30)",
    "bit by bit": "kept = 'lost'\nblocks = []\nwhile True: blocks.append(bytearray(b'x' * (4 << 20)))",
}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """The server that the parameter names."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("server", SERVERS, indirect=True)
async def test_memory_is_told_and_the_session_goes_on(server: Server):
    """By its code, with the state that it left behind; the next eval sees what was committed."""
    async with connect(server.url, TOKEN) as client:
        await client.ask("open")
        assert (await client.eval("kept = 'here'; kept"))["state"] == "committed"
        for how, bomb in BOMBS.items():
            error = await client.ask("eval", {"code": bomb})
            assert (error["type"], error["payload"].get("code")) == ("error", "memory_limit"), (how, error)
            assert (await client.eval("kept"))["output"] == "'here'", how
