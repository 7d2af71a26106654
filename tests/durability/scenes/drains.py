"""A rolling restart under load: each front door in turn gets SIGTERM, ends in order, and is started again."""

from __future__ import annotations

from typing import Final

from durability.ground import Layout
from durability.history import read_history
from durability.rules.outcomes import UNDONE
from durability.scenes.scene import Figures, Order, Scene, Staff, play

RECONNECT_P95_S: Final = 2.0
"""What is promised of the way back."""


async def drain(order: Order) -> Figures:
    """Nothing is lost, no eval that ends in time is ended by force, and clients are back soon."""
    layout = Layout(order.runtime, order.doors, bug=order.bug)
    figures = await play(order, layout, Staff(sessions=4, roams=False, dying=0), _roll)
    forced = [
        f"forced: {item['session']}: {item['id']} was answered {item['outcome']['code']}"
        for item in read_history(order.history).operations
        if item["outcome"].get("code") in UNDONE
    ]
    figures.findings += forced
    return figures


async def _roll(scene: Scene) -> None:
    while not scene.is_done:
        for door in scene.ground.doors:
            await scene.progress()
            await scene.pause(0.3)
            status = await door.stop()
            assert status == 0, f"a drain ended with {status}"
            await door.start()
        scene.count("rolling restart")


def p95(seconds: list[float]) -> float:
    """Of the ways back; 0 when there was none."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else 0.0
