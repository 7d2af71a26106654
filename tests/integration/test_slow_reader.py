"""A client that does not read slows its own eval's `print`, and nobody else; nothing is held for it without bound."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from support.client import connect
from support.server import TOKEN, Server

pytestmark = pytest.mark.bubblewrap

MIB = 1024 * 1024
GROWTH_MAX_BYTES = 16 * MIB
NEIGHBOUR_EVALS = 50


async def test_a_flood_to_a_client_that_does_not_read(embedded: Server):
    """The server's memory stays flat, a neighbour keeps its pace, and the reader gets the rest or a counted cut."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with connect(embedded.url, TOKEN) as neighbour, aiohttp.ClientSession(headers=headers) as http:
        quiet_s = await _pace(neighbour)
        socket = await http.ws_connect(embedded.url + "/", max_msg_size=0)
        await socket.send_json({"id": "ok", "type": "eval", "payload": {"code": "1"}, "timestamp": 1})
        assert (await socket.receive_json())["type"] == "result"
        before = embedded.resident_bytes()
        code = "while True: print('x')"
        await socket.send_json(
            {"id": "flood", "type": "eval", "payload": {"code": code, "stream": True, "timeout_s": 8}, "timestamp": 1}
        )
        flooded_s = await _pace(neighbour)
        grown = embedded.resident_bytes() - before
        printed, said, result = await _rest(socket)
        await socket.close()

        assert grown < GROWTH_MAX_BYTES
        assert flooded_s < 20 * quiet_s + 1.0
        written = result["receipt"]["output_bytes"]
        assert result["error"]["code"] == "timeout"
        assert printed.startswith("x\nx\n") and "KeyboardInterrupt" in said
        # The interrupt may hit between a text and the end of its line.
        assert printed.replace("x\n", "") in ("", "x") or result["receipt"]["truncated"] > 0
        assert len(printed + said) >= min(written, 16 * MIB) - result["receipt"]["truncated"]


async def _pace(client) -> float:
    began = time.monotonic()
    for n in range(NEIGHBOUR_EVALS):
        assert (await client.eval(f"{n} + 1"))["output"] == str(n + 1)
    return time.monotonic() - began


async def _rest(socket: aiohttp.ClientWebSocketResponse) -> tuple[str, str, dict]:
    """What was streamed of stdout and of stderr, and the result, for a client that begins to read late."""
    pieces: dict[str, list[str]] = {"stdout": [], "stderr": []}
    async with asyncio.timeout(60):
        while True:
            envelope = await socket.receive_json()
            if envelope["type"] == "stream":
                pieces[envelope["payload"]["name"]].append(envelope["payload"]["text"])
            elif envelope["id"] == "flood":
                assert envelope["type"] == "result", envelope
                return "".join(pieces["stdout"]), "".join(pieces["stderr"]), envelope["payload"]
