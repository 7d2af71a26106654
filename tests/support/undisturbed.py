"""While somebody abuses the server: another session keeps answering, and the server's memory stays flat."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.client import ReplClient, connect
from support.rest import rest_of
from support.server import TOKEN, Server

GROWTH_BYTES_MAX = 24 * 1024 * 1024
"""Of the front door's memory in RAM, from before the abuse to its highest point."""
ANSWER_PATIENCE_S = 30.0
"""How long a neighbour waits for the answer to one eval; a wait for an event, and no measure of speed."""
ANSWERS_MIN = 3
"""Of the neighbour, from the beginning of an abuse: so many at least, however short it is."""


@dataclass
class Neighbour:
    """Another session of the same server."""

    client: ReplClient
    answers: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self) -> None:
        """One eval, whose answer depends on all before it."""
        self.answers += 1
        async with asyncio.timeout(ANSWER_PATIENCE_S):
            result = await self.client.eval("n += 1; n")
        assert result["output"] == str(self.answers)

    async def go_on(self) -> None:
        """Until the abuse is over, and often enough."""
        begun = self.answers
        while not self.over.is_set() or self.answers - begun < ANSWERS_MIN:
            await self.ask()


@asynccontextmanager
async def undisturbed(server: Server, *, growth_bytes_max: int = GROWTH_BYTES_MAX) -> AsyncIterator[Neighbour]:
    """Around an abuse of a server that runs in a process of its own, on whatever road."""
    async with connect(server.url, TOKEN) as client, rest_of(server.url, TOKEN) as rest:
        neighbour = Neighbour(client)
        await client.eval("n = 0")
        # What each road needs once is no growth.
        await neighbour.ask()
        await rest.eval(await rest.opened(), "1")
        before_bytes = forget_peak(server.pid)
        going_on = asyncio.create_task(neighbour.go_on())
        try:
            yield neighbour
        finally:
            neighbour.over.set()
            await going_on
        grown_bytes = peak_bytes(server.pid) - before_bytes
        assert grown_bytes < growth_bytes_max, f"the server grew by {grown_bytes} bytes"


def forget_peak(pid: int) -> int:
    """What a process has in RAM now, from where its peak is measured anew (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _status_bytes(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that a process has had in RAM since."""
    return _status_bytes(pid, "VmHWM")


def _status_bytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None, f"no {name} of process {pid}"
    return int(found[1]) * 1024
