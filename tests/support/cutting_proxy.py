"""A proxy between a store and its server that passes everything on, until it is told to lose answers or to be slow."""

import asyncio
from pathlib import Path


class CuttingProxy:
    """Listens on a Unix socket. With `lose_replies` set, so many replies are swallowed and their connections cut; each
    other one comes `delay_s` late."""

    def __init__(self, path: Path, upstream: Path) -> None:
        self.path = path
        self.upstream = upstream
        self.lose_replies = 0
        self.delay_s = 0.0
        self.requests: list[bytes] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> "CuttingProxy":
        """Start to listen."""
        self._server = await asyncio.start_unix_server(self._serve, path=str(self.path))
        return self

    async def close(self) -> None:
        """Stop, cutting what is open."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above_writer = await asyncio.open_unix_connection(str(self.upstream))
        tasks = [
            asyncio.create_task(self._pass_up(reader, above_writer)),
            asyncio.create_task(self._pass_down(above_reader, writer)),
        ]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
            self._tasks.discard(task)
        above_writer.close()
        writer.close()

    async def _pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            self.requests.append(data)
            writer.write(data)

    async def _pass_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            if self.lose_replies > 0:
                self.lose_replies -= 1
                return
            await asyncio.sleep(self.delay_s)
            writer.write(data)
