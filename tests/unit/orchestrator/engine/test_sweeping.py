"""Background duties: what nobody owns goes, and nothing that somebody has."""

from __future__ import annotations

import asyncio

from orchestrator.engine.sweeper import ROUNDS_BETWEEN_STORE_SWEEPS
from support.engine_stage import stage, stage_on
from support.hostile_agent import HostileRuntime, honest
from support.runtimes import eventually


async def test_what_a_server_that_died_later_left_is_reaped_by_a_round():
    """Not only at the start; the pool's workers and the sessions' stay."""
    async with stage(pool_size=1) as made:
        client, _ = await made.opened()
        await client.eval("n = 1")
        assert await eventually(lambda: made.engine._sessions.workers_ready == 1)
        owned = set(await made.runtime.list_workers())
        made.runtime._folders.make("wrk_left")  # type: ignore[attr-defined]
        sweeper = made.engine._sweeper
        await sweeper._round(1)
        assert set(await made.runtime.list_workers()) == owned | {"wrk_left"}
        await sweeper._round(ROUNDS_BETWEEN_STORE_SWEEPS)

        assert set(await made.runtime.list_workers()) == owned
        assert (await client.eval("n"))["output"] == "1"
        assert made.metrics.orphans_reaped._value.get() == 1


async def test_an_adopted_worker_is_the_sessions_until_it_is_replaced():
    """The round of another front door leaves it; once the record names another one, it goes."""
    async with stage(pool_size=0) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        (worker,) = await made.runtime.list_workers()
        await made.start()
        await made.engine._sweeper._round(ROUNDS_BETWEEN_STORE_SWEEPS)
        assert list(await made.runtime.list_workers()) == [worker]
        raised = await made.store.raise_generation(session, 1, "another", 30.0)
        assert raised is not None
        await made.engine._sweeper._round(ROUNDS_BETWEEN_STORE_SWEEPS)

        assert list(await made.runtime.list_workers()) == []


async def test_a_worker_that_is_being_restored_is_not_reaped():
    """It was taken from the pool and stands in no record yet."""
    dialled, go_on = asyncio.Event(), asyncio.Event()

    class Slow(HostileRuntime):
        async def dial(self, address):
            dialled.set()
            await go_on.wait()
            return await super().dial(address)

    async with stage_on(Slow(honest), pool_size=0) as made:
        client = made.connect()
        await client.ask("open")
        await dialled.wait()
        await made.engine._sweeper._round(ROUNDS_BETWEEN_STORE_SWEEPS)
        go_on.set()

        assert (await client.ask("eval", {"code": "1"}))["type"] == "result"
