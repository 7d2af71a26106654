"""Workers that are started, warmed up and not yet claimed; and the fair queue for when there are none.

One pool per worker image. Starts are limited, because more than two at once ruin the round trip of running sessions
(docs/explanation/performance.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from orchestrator.core.ids import RANDOM_BYTES, prefixed_id
from orchestrator.core.session import WorkerAddress
from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.services import INCIDENT
from orchestrator.ports import Clock, Runtime
from orchestrator.telemetry.metrics import Metrics
from replwire.errors import WireError

Progress = Callable[[int], None]
"""Told the place in the queue, from 1, whenever it changes."""

REFILL_AFTER_S: Final = 0.03
"""From the moment that a warm worker has its session's state, unless sessions wait: its first eval comes first."""
REFILL_LATEST_S: Final = 0.25
"""From the moment that it is taken: a large state takes as long, and there may be many of them."""
START_RETRY_AFTER_MS: Final = 2000
"""When a session that got no worker should ask again."""

_log = structlog.get_logger("bascule.pool")


class Pressure(Protocol):
    """How much room there is for workers."""

    @property
    def room(self) -> int:
        """How many more workers may be started."""

    def relieve(self, waiting: int) -> None:
        """Make room for so many, if there is a way."""


@dataclass(slots=True, eq=False)
class _Waiting:
    future: asyncio.Future[WorkerAddress]
    progress: Progress


class Pool:
    """Keeps `pool_size` warm workers of one image; hands them out in the order of asking."""

    def __init__(
        self, runtime: Runtime, config: EngineConfig, image: str, *, clock: Clock, metrics: Metrics,
        random: Callable[[int], bytes], warm: int, pressure: Pressure,
    ) -> None:  # fmt: skip
        self._runtime = runtime
        self._config = config
        self._image = image
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._size = warm
        self._pressure = pressure
        self._ready: deque[WorkerAddress] = deque()
        self._queue: deque[_Waiting] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._refill: asyncio.TimerHandle | None = None
        self._closed = False
        self._backoff_s = 0.0

    @property
    def ready(self) -> int:
        """Warm workers now."""
        return len(self._ready)

    @property
    def starting(self) -> int:
        """Workers on their way."""
        return len(self._starting)

    def fill(self) -> None:
        """Start what is missing, as many at once as the settings allow, or soon if a worker was just taken and nobody
        waits; returns at once."""
        if self._refill is not None and not self._queue:
            return
        waiting = len(self._queue) - len(self._ready) - len(self._starting)
        room = min(self._pressure.room, self._config.refill_at_once - len(self._starting))
        # Whoever is parked makes room when its worker has ended; then this is called again.
        self._pressure.relieve(waiting)
        for _ in range(min(self._size + waiting, room)):
            if not self._closed:
                task = asyncio.create_task(self._start())
                self._starting.add(task)
                task.add_done_callback(self._started)
        self._metrics.start_queue.set(len(self._queue))

    async def take(self, progress: Progress) -> WorkerAddress:
        """A warm worker, or the next one that is started. Raises `WireError("capacity")` when it takes too long."""
        if self._ready and not self._queue:
            # Not now: its session would start while another worker starts on the same processors.
            self._refill = self._refill or asyncio.get_running_loop().call_later(REFILL_LATEST_S, self._fill_again)
            return self._ready.popleft()
        if len(self._queue) >= self._config.start_queue_max:
            raise WireError("capacity", "too many sessions wait for a worker", retry_after_ms=START_RETRY_AFTER_MS)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), progress)
        self._queue.append(waiting)
        progress(len(self._queue))
        self.fill()
        return await self._wait(waiting)

    def in_use(self) -> None:
        """A worker that was taken has its session's state: another one may be started soon."""
        loop = asyncio.get_running_loop()
        if self._refill is not None and self._refill.when() > loop.time() + REFILL_AFTER_S:
            self._refill.cancel()
            self._refill = loop.call_later(REFILL_AFTER_S, self._fill_again)

    def _fill_again(self) -> None:
        self._refill = None
        self.fill()

    async def _wait(self, waiting: _Waiting) -> WorkerAddress:
        try:
            async with asyncio.timeout(self._config.start_wait_s):
                return await waiting.future
        except TimeoutError:
            self._leave(waiting)
            raise WireError("capacity", "no worker became free in time", retry_after_ms=START_RETRY_AFTER_MS) from None
        except asyncio.CancelledError:
            self._leave(waiting)
            raise

    def _leave(self, waiting: _Waiting) -> None:
        """It waits no more; a worker that came in the same moment is for somebody else."""
        if waiting in self._queue:
            self._queue.remove(waiting)
        future = waiting.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._hand_out(future.result())

    async def _start(self) -> None:
        if self._backoff_s:
            await asyncio.sleep(self._backoff_s)
        began = self._clock.monotonic()
        worker_id = prefixed_id("wrk", self._random(RANDOM_BYTES))
        try:
            worker = await self._runtime.start(replace(self._config.sandbox, worker=worker_id, image=self._image))
        except WireError as error:
            self._failed(error)
            return
        self._backoff_s = 0.0
        self._metrics.worker_start_seconds.labels(self._runtime.name).observe(self._clock.monotonic() - began)
        if self._closed:
            await self._runtime.stop(worker.worker)
        else:
            self._hand_out(worker)

    def _hand_out(self, worker: WorkerAddress) -> None:
        while self._queue:
            future = self._queue.popleft().future
            if not future.done():
                future.set_result(worker)
                break
        else:
            self._ready.append(worker)
        for place, waiting in enumerate(self._queue, 1):
            waiting.progress(place)

    def _failed(self, error: WireError) -> None:
        self._backoff_s = min(10.0, self._backoff_s * 2 or 0.25)
        incident = prefixed_id(INCIDENT, self._random(RANDOM_BYTES))
        _log.error("worker failed", image=self._image, cause=error.message, retry_s=self._backoff_s, incident=incident)
        if self._queue:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(_told(error, incident))

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("worker failed", image=self._image, exc_info=error)
            self._backoff_s = min(10.0, self._backoff_s * 2 or 0.25)
        if not self._closed:
            self.fill()

    async def close(self) -> None:
        """End the warm workers, and those on their way as soon as they arrive."""
        self._closed = True
        if self._refill is not None:
            self._refill.cancel()
        for waiting in self._queue:
            if not waiting.future.done():
                waiting.future.set_exception(WireError("draining", "this front door is going away"))
        self._queue.clear()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(self._runtime.stop(worker.worker) for worker in self._ready))
        self._ready.clear()


def _told(error: WireError, incident: str) -> WireError:
    """What a client hears of it: the runtime's own words name paths and programs of the host."""
    later = error.retry_after_ms or START_RETRY_AFTER_MS
    return WireError("capacity", "a worker could not be started", retry_after_ms=later, incident=incident)
