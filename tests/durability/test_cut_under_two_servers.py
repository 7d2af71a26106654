"""The store goes back under two servers: whichever of them the next eval comes through must say so by its name."""

from __future__ import annotations

import asyncio
import os
import signal
from random import Random

import pytest

from durability.ground import Ground, Layout, ground
from support.client import connect
from support.server import TOKEN

pytestmark = [pytest.mark.docker, pytest.mark.redis]


async def _size(made: Ground) -> int:
    await asyncio.to_thread(made.redis.settle)
    return made.redis.file.stat().st_size


async def _cut_to(made: Ground, size: int) -> None:
    await asyncio.to_thread(made.redis.kill)
    os.truncate(made.redis.file, size)
    await asyncio.to_thread(made.redis.start)


@pytest.mark.parametrize(
    "through",
    [
        pytest.param(0, id="the_one_that_committed_what_is_gone"),
        pytest.param(1, id="the_other_one"),
    ],
)
async def test_a_store_that_went_back_is_told_as_session_regressed(through: int):
    """Eval 3 was confirmed by the first server and is gone; eval 4 is offered for commit to that one or the other."""
    async with ground(Layout("docker", doors=2), Random(1)) as made:
        first, second = made.urls()
        async with connect(first, TOKEN) as one, connect(second, TOKEN) as two:
            session = (await one.ask("open"))["payload"]["session"]
            await one.eval("n = 1")
            await two.ask("attach", {"session": session})
            await two.eval("n = 2")
            size = await _size(made)
            assert (await one.eval("n = 3"))["durable"] == "fsync"
            await _cut_to(made, size)
            client = (one, two)[through]
            answer = await client.ask("eval", {"code": "n = 4"})

            assert (answer["type"], answer["payload"]["code"]) == ("error", "session_regressed")
            assert (await client.eval("n"))["output"] == "2"


async def test_another_history_that_grew_as_long_is_told_too():
    """The first server stands still while the store goes back, and the second goes on from there, beyond what was lost:
    by its seq the store has not gone back, by its chain of etags it has."""
    async with ground(Layout("docker", doors=2), Random(1)) as made:
        first, second = made.urls()
        async with connect(first, TOKEN) as one, connect(second, TOKEN) as two:
            session = (await one.ask("open"))["payload"]["session"]
            await one.eval("n = 1")
            size = await _size(made)
            for number in (2, 3):
                assert (await one.eval(f"n = {number}"))["durable"] == "fsync"
            os.kill(made.doors[0].pid, signal.SIGSTOP)
            await _cut_to(made, size)
            await two.ask("attach", {"session": session})
            await two.ask("eval", {"code": "n"})  # the worker can show that more was confirmed
            values = [(await two.eval(f"n += {number}; n"))["output"] for number in (10, 20, 30)]
            os.kill(made.doors[0].pid, signal.SIGCONT)
            told = (await one.wait_for(lambda said: said["type"] == "rolled_back"))["payload"]

            assert (told["to"], told["cause"]) == (1, "session_regressed")
            assert [(await client.eval("n"))["output"] for client in (one, two)] == [values[-1]] * 2


async def test_a_worker_that_dies_first_does_not_hide_it():
    """The next eval is never offered for commit: that its worker died is not why eval 3 is gone."""
    async with ground(Layout("docker"), Random(1)) as made, connect(made.urls()[0], TOKEN) as client:
        await client.ask("open")
        await client.eval("n = 2")
        size = await _size(made)
        assert (await client.eval("n = 3"))["durable"] == "fsync"
        await _cut_to(made, size)
        answer = await client.ask("eval", {"code": "import os; os.kill(os.getpid(), 9)"})

        assert (answer["type"], answer["payload"]["code"]) == ("error", "session_regressed")
        told = (await client.wait_for(lambda said: said["type"] == "rolled_back"))["payload"]
        assert (told["to"], told["cause"]) == (1, "session_regressed")
        assert (await client.eval("n"))["output"] == "2"
