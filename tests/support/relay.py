"""Passes bytes on between two ends, over TCP or Unix sockets; what is made of them on the way is for its kinds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

READ_BYTES = 1 << 16

Address = Path | tuple[str, int]
"""A Unix socket, or host and port."""

_END_AT_ONCE = struct.pack("ii", 1, 0)


class Line:
    """One connection that goes through. What is sent on a way that is lost never arrives, and nobody is told."""

    def __init__(self, below: asyncio.StreamWriter, above: asyncio.StreamWriter) -> None:
        self.up_is_lost = self.down_is_lost = False
        self._ends = below, above

    def write(self, data: bytes, *, down: bool) -> None:
        """Send something to one side, past all that is made of it on the way."""
        below, above = self._ends
        (below if down else above).write(data)

    def end(self, *, reset: bool = False) -> None:
        """Both sides see it end: in order, or as a reset."""
        for end in self._ends:
            found = end.get_extra_info("socket")
            if reset and found is not None and found.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _END_AT_ONCE)
            end.transport.abort()


class Relay:
    """Listens, and passes everything on to `upstream`; a kind of it overrides `accepts` and `passes`."""

    def __init__(self, upstream: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        self.upstream, self._listen = upstream, listen
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.lines: set[Line] = set()
        """That go through now."""
        self.connections = 0
        """That went through, so far."""

    # --- for its kinds ------------------------------------------------------------------------------------------

    async def accepts(self) -> None:
        """Waits for as long as a new connection gets no further than here."""

    async def passes(self, line: Line, data: bytes, *, down: bool) -> bytes | None:
        """What arrives of `data`; None: the connection ends instead. `down` is to whoever dialled."""
        return data

    # --- for all ------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """That it listens on."""
        assert self._server is not None
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def start(self) -> None:
        """Begin to listen."""
        if isinstance(self._listen, Path):
            self._server = await asyncio.start_unix_server(self._serve, path=str(self._listen))
        else:
            self._server = await asyncio.start_server(self._serve, *self._listen)

    async def stop(self) -> None:
        """End, and everything with it."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Every connection ends here and now, for both sides; new ones are welcome."""
        for line in tuple(self.lines):
            line.end(reset=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.accepts()
            await self._pass_both(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.upstream, Path):
            return await asyncio.open_unix_connection(str(self.upstream))
        return await asyncio.open_connection(*self.upstream)

    async def _pass_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above_writer = await self._dial()
        self.connections += 1
        line = Line(writer, above_writer)
        self.lines.add(line)
        ways = [
            asyncio.create_task(self._pass(line, reader, above_writer, down=False)),
            asyncio.create_task(self._pass(line, above_reader, writer, down=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.lines.discard(line)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            above_writer.close()
            writer.close()

    async def _pass(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool
    ) -> None:
        while data := await reader.read(READ_BYTES):
            arrives = await self.passes(line, data, down=down)
            if arrives is None:
                return
            writer.write(arrives)
            await writer.drain()
