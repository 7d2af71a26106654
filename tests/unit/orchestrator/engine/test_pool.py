"""The pool: warm workers at once, a fair queue when there are none, never more starts than allowed."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.engine.pool import Pool
from orchestrator.engine.pressure import Pressure
from replwire.errors import WireError
from support.engine_parts import MachineClock, services


class CountingRuntime:
    """Starts take until the gate opens; counts how many run at once and what was ended."""

    name = "counting"
    survives_server = False

    def __init__(self, *failures: WireError) -> None:
        self.gate = asyncio.Event()
        self.failures = list(failures)
        self.started = 0
        self.now = 0
        self.most = 0
        self.stopped: list[str] = []

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """One worker, when the gate is open."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.now -= 1
        self.started += 1
        return WorkerAddress(self.name, spec.worker, spec.image, 0)

    async def stop(self, worker: str) -> None:
        """Write it down."""
        self.stopped.append(worker)


def pool_of(runtime: CountingRuntime, warm: int = 0, **settings: object) -> Pool:
    """A pool of the image `plain`."""
    parts = services(runtime=runtime, **settings)
    return Pool(
        parts.runtime,
        parts.config,
        "plain",
        clock=MachineClock(),
        metrics=parts.metrics,
        random=parts.random,
        warm=warm,
        pressure=Pressure(parts, tuple),
    )


def nothing(_place: int) -> None:
    """A progress callback that does not care."""


async def settled(condition) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def filled(warm: int) -> tuple[CountingRuntime, Pool]:
    """A pool that has its warm workers."""
    runtime = CountingRuntime()
    runtime.gate.set()
    pool = pool_of(runtime, warm=warm)
    pool.fill()
    await settled(lambda: pool.ready == warm)
    return runtime, pool


async def test_warm_workers_are_handed_out_and_replaced():
    """The pool fills to its size and fills again."""
    runtime, pool = await filled(2)
    worker = await pool.take(nothing)
    await settled(lambda: pool.ready == 2)

    assert worker.address == "plain"
    assert (runtime.started, runtime.most) == (3, 1)


async def test_the_next_worker_is_started_when_the_one_before_is_in_use(monkeypatch):
    """Not while its session's state is on its way to it, whoever else finds that one is missing."""
    monkeypatch.setattr("orchestrator.engine.pool.REFILL_LATEST_S", 3600.0)
    runtime, pool = await filled(1)
    await pool.take(nothing)
    pool.fill()
    await asyncio.sleep(0)
    assert (pool.starting, runtime.started) == (0, 1)
    pool.in_use()
    await settled(lambda: pool.ready == 1)


async def test_one_who_waits_does_not_wait_for_the_one_before(monkeypatch):
    """A worker is started for him at once."""
    monkeypatch.setattr("orchestrator.engine.pool.REFILL_LATEST_S", 3600.0)
    _, pool = await filled(1)
    first = await pool.take(nothing)
    async with asyncio.timeout(5):
        second = await pool.take(nothing)
    assert first != second


async def test_those_who_wait_are_served_in_order_and_told_their_place():
    """First come, first served, with `refill_at_once` starts at a time."""
    runtime = CountingRuntime()
    pool = pool_of(runtime, refill_at_once=2)
    places: dict[int, list[int]] = {n: [] for n in range(4)}
    served: list[int] = []

    async def take(n: int) -> None:
        await pool.take(places[n].append)
        served.append(n)

    takers = [asyncio.create_task(take(n)) for n in range(4)]
    await settled(lambda: len(places[3]) == 1 and runtime.now == 2)
    runtime.gate.set()
    await asyncio.gather(*takers)

    assert served == [0, 1, 2, 3]
    assert places[3][0] == 4 and places[3][-1] == 1
    assert runtime.most == 2


async def test_a_full_queue_and_a_long_wait_are_capacity():
    """Both say when to try again."""
    runtime = CountingRuntime()
    pool = pool_of(runtime, start_queue_max=1, start_wait_s=0.05)
    waiting = asyncio.create_task(pool.take(nothing))
    await settled(lambda: runtime.now == 1)

    for refused in (pool.take(nothing), waiting):
        with pytest.raises(WireError) as caught:
            await refused
        assert caught.value.code == "capacity"
        assert caught.value.retry_after_ms
    runtime.gate.set()


async def test_a_start_that_fails_is_told_to_one_and_tried_again():
    """The first in the queue hears of it, without the runtime's words about the host; the second gets a worker."""
    runtime = CountingRuntime(WireError("capacity", "/var/lib/secret/worker.sock: no image"))
    pool = pool_of(runtime)
    takers = [asyncio.create_task(pool.take(nothing)) for _ in range(2)]
    runtime.gate.set()
    with structlog.testing.capture_logs() as logs:
        first, second = await asyncio.gather(*takers, return_exceptions=True)

    assert isinstance(first, WireError)
    said = first.payload("another")
    assert (said["code"], said["message"]) == ("capacity", "a worker could not be started")
    (line,) = [line for line in logs if line["event"] == "worker failed"]
    assert line["cause"] == "/var/lib/secret/worker.sock: no image"
    assert line["incident"] == said["incident"]
    assert isinstance(second, WorkerAddress)


async def test_closing_ends_the_warm_ones_and_those_on_their_way():
    """Nothing is left behind, and those who wait are told."""
    runtime = CountingRuntime()
    runtime.gate.set()
    pool = pool_of(runtime, warm=1)
    pool.fill()
    await settled(lambda: pool.ready == 1)
    runtime.gate.clear()
    await pool.take(nothing)
    waiting = asyncio.create_task(pool.take(nothing))
    await settled(lambda: runtime.now == 1)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    runtime.gate.set()
    await closing

    with pytest.raises(WireError, match="going away"):
        await waiting
    assert len(runtime.stopped) == 1
