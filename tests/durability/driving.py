"""Runs pieces of campaigns, some at once, and says how far it is and how long it will take."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from durability.scenes.scene import Figures, Order
from durability.table import CAMPAIGNS

Ended = Callable[[Order, Figures], None]

TELL_EVERY_S: Final = 10.0
PIECE_MAX_S: Final = 1200.0
"""Of one piece; beyond it, it is broken."""
_BAR: Final = 20


class Progress:
    """Over all pieces of a run; writes a line to stderr now and then. It takes all faults to be equally long."""

    def __init__(self, orders: Sequence[Order], *, quiet: bool) -> None:
        self._ordered = sum(order.faults for order in orders)
        self._done: dict[tuple[str, int], int] = {}
        self._pieces, self._ended, self._found = len(orders), 0, 0
        self._began, self._quiet = time.monotonic(), quiet

    def told(self, order: Order, done: int) -> None:
        """So many faults of a piece were done."""
        self._done[order.campaign, order.seed] = min(done, order.faults)

    def ended(self, order: Order, figures: Figures) -> None:
        """A piece is over."""
        self.told(order, order.faults)
        self._ended += 1
        self._found += len(figures.findings)
        self.say(f"{order.campaign} seed {order.seed} on {order.runtime}: {len(figures.findings)} found")

    def say(self, more: str = "") -> None:
        """One line."""
        if self._quiet:
            return
        done, elapsed_s = sum(self._done.values()), time.monotonic() - self._began
        left = f"about {elapsed_s * (self._ordered - done) / done:.0f} s left" if done else "no estimate yet"
        share = done / max(1, self._ordered)
        bar = "#" * int(_BAR * share)
        words = (
            f"[{bar:<{_BAR}}] {share:4.0%}  pieces {self._ended}/{self._pieces}  found {self._found}  {left}  {more}"
        )
        print(words.rstrip(), file=sys.stderr, flush=True)


async def drive(
    orders: Sequence[Order], at_once: int, ended: Ended = lambda order, figures: None, *, quiet: bool = False
) -> list[Figures]:
    """Every piece, so many at the same time; in the order of the orders. `ended` hears of each when it is over."""
    progress, room = Progress(orders, quiet=quiet), asyncio.Semaphore(at_once)

    async def one(order: Order) -> Figures:
        async with room:
            figures = await _played(replace(order, told=lambda done: progress.told(order, done)))
        progress.ended(order, figures)
        ended(order, figures)
        return figures

    telling = asyncio.create_task(_tell(progress))
    try:
        return list(await asyncio.gather(*map(one, orders)))
    finally:
        telling.cancel()


async def _tell(progress: Progress) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        progress.say()


async def _played(order: Order) -> Figures:
    """A piece that breaks has proved nothing: that is a finding, and the others go on."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(PIECE_MAX_S):
            return await CAMPAIGNS[order.campaign].run(order)
    except Exception as error:
        order.history.with_suffix(".broken").write_text(traceback.format_exc())
        words = f"broken: {type(error).__name__}: {error}"
        return Figures(
            order.campaign, order.seed, order.runtime, order.doors, {}, 0, 0, [words], time.monotonic() - began
        )
