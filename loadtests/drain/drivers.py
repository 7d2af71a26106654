"""The clients: each works in a session of its own through the Python client, and knows what was acknowledged to it."""

from __future__ import annotations

import ast
import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

from bascule import AsyncClient, AsyncSession, BasculeError, Disconnected, Event, Reconnected

BEGIN: Final = "import time; done = []; counter = 0"
STEP: Final = "time.sleep({pause_s:.3f}); done.append({n}); counter += 1"
END: Final = "(done, counter)"
PAUSE_MAX_S: Final = 0.2
"""The longest eval; all of them are over long before the limit of a drain."""


@dataclass(slots=True)
class Driver:
    """One client."""

    seed: int
    submitted: int = 0
    acknowledged: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Evals that ended in an error, which none of them should."""
    outages_s: list[float] = field(default_factory=list)
    """From each loss of the connection until it was back."""
    lost: int = 0
    doubled: int = 0
    phantoms: int = 0
    _gone_at: float = 0.0

    async def run(self, client: AsyncClient, stopped: asyncio.Event) -> None:
        """Evals one after the other until told to stop; then the books are compared."""
        chance = random.Random(self.seed)
        async with client.open(on_event=self._told) as session:
            await session.run(BEGIN)
            while not stopped.is_set():
                await self._step(session, chance.uniform(0, PAUSE_MAX_S))
            self.compare(*ast.literal_eval((await session.run(END)).text or "([], 0)"))

    async def _step(self, session: AsyncSession, pause_s: float) -> None:
        n, self.submitted = self.submitted, self.submitted + 1
        try:
            done = await session.run(STEP.format(n=n, pause_s=pause_s))
        except BasculeError as error:
            self.broken.append(f"{error.code}: {error}")
            return
        if done.error is not None or done.state != "committed":
            self.broken.append(f"{done.state}: {done.error}")
        else:
            self.acknowledged.append(n)

    def _told(self, event: Event) -> None:
        # Not what `Reconnected` says: two losses in a short time are one outage there.
        if isinstance(event, Disconnected):
            self._gone_at = time.monotonic()
        elif isinstance(event, Reconnected):
            self.outages_s.append(time.monotonic() - self._gone_at)

    def compare(self, held: list[int], counter: int) -> None:
        """What the session holds with what was acknowledged: in order, once, and nothing that nobody asked for."""
        self.lost = len(set(self.acknowledged) - set(held)) + (held != sorted(held))
        self.doubled = len(held) - len(set(held)) + abs(counter - len(held))
        self.phantoms = len(set(held) - set(range(self.submitted)))
