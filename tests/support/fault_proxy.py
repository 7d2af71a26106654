"""A network that is bad on purpose: cut, reset, slow, deaf and dumb, or gone in the middle of a frame.

Between clients and a front door it listens on TCP, between a front door and its Redis on a Unix socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from support.relay import Address, Line, Relay

FAULTS = ("reset", "cut", "delay", "blackhole", "truncate")
"""What `strike` can do."""


class FaultProxy(Relay):
    """Whole until it is told otherwise. Seeded: where a frame is cut is drawn from `random`."""

    def __init__(self, upstream: Address, listen: Address = ("127.0.0.1", 0), *, random: Random) -> None:
        super().__init__(upstream, listen)
        self._random = random
        self._delay_s = 0.0
        self._truncates = 0
        self._open = asyncio.Event()
        self._open.set()
        self._held: Callable[[bytes], bool] | None = None
        self._released = asyncio.Event()
        self.holds = asyncio.Event()
        """Set once something is held."""

    # --- faults -------------------------------------------------------------------------------------------------

    def strike(self, fault: str, *, delay_s: float = 0.05) -> None:
        """Do one of `FAULTS`; `mend` ends those that last."""
        match fault:
            case "reset":
                self.reset()
            case "cut":
                for line in tuple(self.lines):
                    line.end()
            case "delay":
                self._delay_s = delay_s
            case "blackhole":
                self._open.clear()
                for line in self.lines:
                    line.up_is_lost = line.down_is_lost = True
            case "truncate":
                self._truncates = max(1, len(self.lines))
            case _:
                raise ValueError(f"there is no fault {fault!r}")

    def mend(self) -> None:
        """New connections get through as before; those of a blackhole stay lost, and end."""
        self._delay_s, self._truncates = 0.0, 0
        self._open.set()
        for line in tuple(self.lines):
            if line.up_is_lost:
                line.end(reset=True)

    def hold_next(self, wanted: Callable[[bytes], bool]) -> None:
        """The next wanted piece on its way up waits, with all that comes after it on its line, for `release`."""
        self._held = wanted
        self.holds.clear()
        self._released.clear()

    def release(self) -> None:
        """What is held goes on; where the side that dialled has ended meanwhile, it arrives all the same."""
        self._held = None
        self._released.set()

    # --- the way through ----------------------------------------------------------------------------------------

    async def accepts(self) -> None:
        """See `Relay`."""
        await self._open.wait()

    async def passes(self, line: Line, data: bytes, *, down: bool) -> bytes | None:
        """See `Relay`."""
        if not down and self._held is not None and self._held(data):
            self._held = None
            self.holds.set()
            await self._released.wait()
        if self._delay_s:
            await asyncio.sleep(self._random.uniform(0, self._delay_s))
        if line.down_is_lost if down else line.up_is_lost:
            return b""
        if self._truncates > 0 and len(data) > 1:
            self._truncates -= 1
            line.write(data[: self._random.randrange(1, len(data))], down=down)
            return None
        return data
