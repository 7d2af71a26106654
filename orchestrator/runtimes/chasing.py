"""Ending what could not be ended at once, because an engine was away, or had not made it yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

AFTER_S: Final = (1.0, 5.0, 15.0, 40.0)
"""Pauses between tries to end what an engine did not end, or may have made since it did not answer in time."""


class Chases:
    """Workers that belong to nobody any more, each tried a few times with `stop`."""

    def __init__(self, stop: Callable[[str], Awaitable[None]]) -> None:
        self._stop = stop
        self._running: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def begin(self, worker: str) -> None:
        """Try to end it later, and again; nothing new for one that is being chased."""
        if worker not in self._running and not self._closed:
            self._running[worker] = asyncio.create_task(self._end_again(worker))
            self._running[worker].add_done_callback(lambda _: self._running.pop(worker))

    async def _end_again(self, worker: str) -> None:
        for pause_s in AFTER_S:
            await asyncio.sleep(pause_s)
            await self._stop(worker)

    async def close(self) -> None:
        """Give up; begin none any more."""
        self._closed = True
        for chase in self._running.values():
            chase.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
