"""A proxy between a store and its server that passes everything on, until it is told to lose answers or to be slow."""

import asyncio
from pathlib import Path

from support.relay import Line, Relay


class CuttingProxy(Relay):
    """Listens on a Unix socket. With `lose_replies` set, so many replies are swallowed and their connections cut; each
    other one comes `delay_s` late."""

    def __init__(self, path: Path, upstream: Path) -> None:
        super().__init__(upstream, path)
        self.path = path
        self.lose_replies = 0
        self.delay_s = 0.0
        self.requests: list[bytes] = []

    async def passes(self, line: Line, data: bytes, *, down: bool) -> bytes | None:
        """See `Relay`."""
        if not down:
            self.requests.append(data)
        elif self.lose_replies > 0:
            self.lose_replies -= 1
            return None
        else:
            await asyncio.sleep(self.delay_s)
        return data
