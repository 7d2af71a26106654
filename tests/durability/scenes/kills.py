"""Campaigns that end processes with -9: workers, front doors, Redis, and all of them at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from durability.ground import Layout
from durability.plan import RARE, draw_plan
from durability.scenes.scene import Figures, Order, Scene, Staff, play
from orchestrator.faults import POINTS
from orchestrator.stores.keys import session_keys
from support.server import Server

Fault = Callable[[Scene], Awaitable[None]]

HELD_EVERY: Final = 4
"""Of the kills of workers, every so manieth comes while a commit of that session is on its way."""
INTERPRETERS: Final = 0.3
"""Of the others so many hit the interpreter alone, and leave it to the worker whether its shadow takes over."""
HELD_S: Final = 1.5
"""How long such a commit stays on its way at most: until the session has a worker that restored without it."""
POINT_WAIT_S: Final = 3.0
"""How long a front door may take to come to its marked point; then it is killed where it is."""

# --- workers ----------------------------------------------------------------------------------------------------------


async def workers(order: Order) -> Figures:
    """A worker is killed at a random moment, some while their last commit is between front door and Redis."""
    layout = Layout(order.runtime, order.doors, bad_store_network=True, bug=order.bug)
    return await play(order, layout, Staff(sessions=5), _kill_workers)


async def _kill_workers(scene: Scene) -> None:
    while not scene.is_done:
        session = scene.random.choice(scene.sessions)
        await scene.progress(session)
        await scene.pause(0.06)
        is_held = bool(scene.order.points) or scene.random.randrange(HELD_EVERY) == 0
        if is_held:
            await _kill_with_a_commit_on_its_way(scene, session)
        elif scene.random.random() < INTERPRETERS:
            await _kill_interpreter(scene, session)
        else:
            await _kill_worker(scene, session)


async def _kill_worker(scene: Scene, session: str) -> None:
    if await scene.ground.kill_worker(session):
        scene.count("worker")


async def _kill_interpreter(scene: Scene, session: str) -> None:
    if await scene.ground.kill_interpreter(session):
        scene.count("interpreter")


async def _kill_with_a_commit_on_its_way(scene: Scene, session: str) -> None:
    network, keys = scene.ground.store_network, session_keys(session)
    network.hold_next(lambda data: keys.order in data and keys.state in data)
    try:
        await asyncio.wait_for(network.holds.wait(), POINT_WAIT_S)
        worker = await asyncio.to_thread(scene.ground.worker_of, session)
        if await scene.ground.kill_worker(session):
            scene.count("worker, commit on its way")
            await scene.ground.has_another_worker(session, worker, HELD_S)
    except TimeoutError:
        pass
    finally:
        network.release()


# --- front doors ------------------------------------------------------------------------------------------------------


async def doors(order: Order) -> Figures:
    """A front door is killed, at a random moment or at a marked point, and started again."""
    layout = Layout(order.runtime, order.doors, bug=order.bug)
    return await play(order, layout, Staff(sessions=4), _kill_doors)


async def _kill_doors(scene: Scene) -> None:
    while not scene.is_done:
        door = scene.random.choice(scene.ground.doors)
        points = scene.order.points
        is_marked = bool(points) or scene.random.random() < 0.5
        plan = (
            draw_plan(scene.random, "kill", points or POINTS, passing_max=12 // len(scene.ground.doors))
            if is_marked
            else ""
        )
        await restart_with(scene, door, plan)
        if plan:
            await _let_it_end(scene, door, plan.partition("=")[0])
        else:
            await scene.progress()
            await scene.pause(0.3)
            await door.kill()
            scene.count("front door")
    await restart_all(scene)


async def restart_with(scene: Scene, door: Server, plan: str) -> None:
    """With a plan, or where it does not run. One that runs already is killed for that."""
    if plan or not door.runs:
        if door.runs:
            await door.kill()
        door.environment = scene.ground.environment(plan)
        await door.start()


async def _let_it_end(scene: Scene, door: Server, point: str) -> None:
    if point in RARE:
        await scene.ground.kill_worker(scene.random.choice(scene.sessions))
    ended = await door.ends_by_itself(POINT_WAIT_S)
    await door.kill()
    scene.count(f"front door, {point}" if ended else "front door")


async def restart_all(scene: Scene) -> None:
    """Those that do not run, without a plan."""
    for door in scene.ground.doors:
        if not door.runs:
            door.environment = scene.ground.environment()
            await door.start()


# --- Redis ------------------------------------------------------------------------------------------------------------


async def redis(order: Order) -> Figures:
    """Redis is killed at a random moment and started again on its file."""
    layout = Layout(order.runtime, order.doors, bug=order.bug)
    return await play(order, layout, Staff(sessions=4), _kill_redis)


async def _kill_redis(scene: Scene) -> None:
    while not scene.is_done:
        await scene.progress()
        await scene.pause(0.2)
        await scene.ground.restart_redis(scene.random.uniform(0, 0.6))
        scene.count("Redis")


# --- all of them ------------------------------------------------------------------------------------------------------


async def mixed(order: Order) -> Figures:
    """All three, three clients, twenty sessions, for so many seconds."""
    layout = Layout(order.runtime, order.doors, bug=order.bug, settings={"engine.pool_size": "3"})
    staff = Staff(sessions=20, clients=3, shared=4, think_s=0.1)
    return await play(order, layout, staff, _kill_all)


async def _kill_all(scene: Scene) -> None:
    end = time.monotonic() + scene.order.faults
    async with asyncio.TaskGroup() as group:
        group.create_task(_again_until(end, scene, 0.8, _one_worker))
        group.create_task(_again_until(end, scene, 5.0, _one_door))
        group.create_task(_again_until(end, scene, 4.0, _one_redis))
    await restart_all(scene)


async def _again_until(end: float, scene: Scene, up_to_s: float, fault: Fault) -> None:
    while time.monotonic() < end:
        await scene.pause(up_to_s)
        await fault(scene)


async def _one_worker(scene: Scene) -> None:
    # While Redis is away nobody knows which worker a session has.
    try:
        await _kill_worker(scene, scene.random.choice(scene.sessions))
    except OSError:
        return


async def _one_door(scene: Scene) -> None:
    door = scene.random.choice(scene.ground.doors)
    await door.kill()
    scene.count("front door")
    await scene.pause(0.5)
    await door.start()
    await scene.progress()


async def _one_redis(scene: Scene) -> None:
    await scene.ground.restart_redis(scene.random.uniform(0, 0.6))
    scene.count("Redis")
    await scene.progress()
