"""A front door is stopped for longer than any time-out, and woken: what it then does is too late and must not count."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

from durability.ground import Layout, is_stopped
from durability.plan import draw_plan
from durability.scenes.kills import POINT_WAIT_S, restart_all, restart_with
from durability.scenes.scene import Figures, Order, Scene, Staff, play
from orchestrator.stores.redis.wire import CALL_DEADLINE_S
from support.server import Server

BEYOND_ALL_S: Final = CALL_DEADLINE_S + 0.6
"""Longer than the store's deadline, `replace_deadline_s`, `worker_lost_ms`, `handover_ms` and a client's patience."""
_STOP_POINTS: Final = ("after-dispatch", "after-execute", "before-commit", "after-commit", "before-result")
_POLL_S: Final = 0.01


async def paused(order: Order) -> Figures:
    """At a random moment or at a marked point; its worker, or Redis, may die while it sleeps."""
    layout = Layout(order.runtime, order.doors, bug=order.bug)
    return await play(order, layout, Staff(sessions=4, impatient=True), _pause_doors)


async def _pause_doors(scene: Scene) -> None:
    while not scene.is_done:
        door = scene.random.choice(scene.ground.doors)
        # Before: one that is to stop at a point may come to it before anything else is acknowledged.
        await scene.progress()
        plan = draw_plan(scene.random, "stop", _STOP_POINTS) if scene.random.random() < 0.5 else ""
        if plan:
            await restart_with(scene, door, plan)
        point = await _stopped(scene, door, plan)
        if scene.random.random() < 0.5:
            await scene.ground.kill_worker(scene.random.choice(scene.sessions))
        await asyncio.sleep(BEYOND_ALL_S)
        os.kill(door.pid, signal.SIGCONT)
        scene.count(f"front door stopped{point}")
        if plan and not point:
            # It would come to its point later, when nobody waits for that; first it does what is too late by now.
            await scene.pause(0.5)
            await door.kill()
            await restart_with(scene, door, "")
    await restart_all(scene)


async def _stopped(scene: Scene, door: Server, plan: str) -> str:
    """Where it was: empty at no marked point."""
    deadline = asyncio.get_running_loop().time() + (POINT_WAIT_S if plan else 0)
    while asyncio.get_running_loop().time() < deadline:
        if is_stopped(door.pid):
            return f", {plan.partition('=')[0]}"
        await asyncio.sleep(_POLL_S)
    await scene.pause(0.2)
    os.kill(door.pid, signal.SIGSTOP)
    return ""
