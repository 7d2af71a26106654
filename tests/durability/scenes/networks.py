"""The network between clients and front doors, or before Redis, is cut, reset, slow, silent, or cuts frames."""

from __future__ import annotations

from durability.ground import Layout
from durability.scenes.scene import Figures, Order, Scene, Staff, play
from support.fault_proxy import FAULTS


async def network(order: Order) -> Figures:
    """One fault after the other, on one side or the other; each lasts a moment."""
    layout = Layout(order.runtime, order.doors, bad_network=True, bad_store_network=True, bug=order.bug)
    return await play(order, layout, Staff(sessions=4, impatient=True), _strike)


async def _strike(scene: Scene) -> None:
    while not scene.is_done:
        await scene.progress()
        await scene.pause(0.1)
        fault = scene.random.choice(FAULTS)
        at_store = scene.random.random() < 0.5
        struck = scene.ground.store_network if at_store else scene.random.choice(scene.ground.networks)
        struck.strike(fault, delay_s=0.2)
        await scene.pause(2.5 if fault == "blackhole" else 0.8)
        struck.mend()
        scene.count(f"{fault} {'before Redis' if at_store else 'before a front door'}")
