"""More sessions than workers: who was idle for longest makes room, and what would be lost is kept to the last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.engine.phase import Phase
from support.engine_stage import Client, Stage, stage
from support.runtimes import eventually

UNSAVED = "g = (n for n in range(3)); n = next(g)"
"""A running generator is in no checkpoint."""


async def opened(made: Stage, code: str) -> tuple[Client, str]:
    """A session that is idle after this eval."""
    client = made.connect()
    session: str = (await client.ask("open"))["payload"]["session"]
    await client.eval(code)
    return client, session


def parked(made: Stage, *sessions: str) -> list[bool]:
    """Which of them have no worker."""
    return [made.live(session).phase is Phase.NONE for session in sessions]


@contextlib.contextmanager
def waiting_for(made: Stage, start_wait_s: float) -> Iterator[None]:
    """So long only for a worker that does not come: one that comes may take longer on a busy machine."""
    pools = made.engine._sessions._pools.values()
    before = [pool._config for pool in pools]
    for pool in pools:
        pool._config = replace(pool._config, start_wait_s=start_wait_s)
    yield
    for pool, config in zip(pools, before, strict=True):
        pool._config = config


async def test_the_session_that_was_idle_for_longest_makes_room():
    """It goes on when it is asked again, and another one makes room for it; never are there more workers."""
    async with stage(workers_max=2, pool_size=0) as made:
        first, one = await opened(made, "n = 1")
        second, two = await opened(made, "n = 2")
        await first.eval("n")
        third, three = await opened(made, "n = 3")
        assert parked(made, one, two, three) == [False, True, False]
        assert [(await client.eval("n"))["output"] for client in (second, first, third)] == ["2", "1", "3"]
        assert len(await made.runtime.list_workers()) <= 2
        assert second.events("rolled_back") == []


async def test_what_no_checkpoint_keeps_is_parked_last_and_only_if_it_may():
    """Idle for longest, but with a generator in it; and one whose policy forbids it stays."""
    async with stage(workers_max=2, pool_size=0) as made:
        holder, one = await opened(made, UNSAVED)
        _, two = await opened(made, "n = 2")
        third, three = await opened(made, "n = 3")
        assert parked(made, one, two, three) == [False, True, False]
        live = made.live(three)
        live.policy = replace(live.policy, park_unsaved=False)
        await third.eval(UNSAVED)
        await opened(made, "n = 4")
        assert parked(made, one, three) == [True, False]
        assert (await holder.ask("eval", {"code": "next(g)"}))["payload"]["error"]["name"] == "NameError"


async def test_without_an_idle_session_the_next_one_waits_and_is_told_when_it_waited_in_vain():
    """All workers run evals: `capacity` with a retry time, and the queue moves as soon as one of them ends."""
    async with stage(workers_max=1, pool_size=0) as made:
        busy, session = await opened(made, "import os, time")
        folder = made.work_folder(session)
        running = busy.send("eval", {"code": "while not os.path.exists('go'): time.sleep(0.01)"})
        await busy.ask("is_complete", {"code": "1"})
        late = made.connect()
        await late.ask("open")
        with waiting_for(made, 0.3):
            refused = (await late.ask("eval", {"code": "1"}))["payload"]
        assert (refused["code"], refused["retryable"]) == ("capacity", True)
        (folder / "go").touch()
        await busy.terminal(running)
        assert (await late.eval("1"))["output"] == "1"


async def test_the_pool_keeps_no_warm_workers_beyond_the_limit():
    """They would be somebody's room."""
    async with stage(workers_max=2, pool_size=2) as made:
        assert await eventually(lambda: made.engine._sessions.workers_ready == 2)
        client, _ = await opened(made, "n = 1")
        await asyncio.sleep(0.1)
        assert len(await made.runtime.list_workers()) == 2
        assert (await client.eval("n"))["output"] == "1"
