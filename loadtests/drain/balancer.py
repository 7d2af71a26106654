"""A TCP relay before the servers: each new connection goes to the next one that is in service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from loadtests.drain.replicas import Replica

PART_BYTES: Final = 1 << 16


class Balancer:
    """Of some replicas; `url` is what clients connect to."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas = replicas
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def next(self) -> Replica | None:
        """The one whose turn it is, of those in service."""
        self._turn += 1
        ready = [replica for replica in self._replicas if replica.in_service]
        return ready[self._turn % len(ready)] if ready else None

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it; at once when nobody is in service."""
        replica = self.next()
        try:
            if replica is not None:
                above_reader, above_writer = await asyncio.open_connection("127.0.0.1", replica.port)
                await self._between((reader, above_writer), (above_reader, writer))
        except OSError:
            pass  # the replica went in this moment: the client tries again
        finally:
            writer.close()

    async def _between(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        tasks = [asyncio.create_task(_pass_on(*way)) for way in ways]
        self._tasks.update(tasks)
        await asyncio.wait(tasks)
        self._tasks.difference_update(tasks)

    async def close(self) -> None:
        """Cut what is open."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PART_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balanced(replicas: Sequence[Replica]) -> AsyncIterator[Balancer]:
    """A relay on a free port of the loopback."""
    balancer = Balancer(replicas)
    server = await asyncio.start_server(balancer.relay, "127.0.0.1", 0)
    balancer.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield balancer
    finally:
        server.close()
        await balancer.close()
