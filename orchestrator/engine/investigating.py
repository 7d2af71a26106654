"""A link was lost: a dead link is not a dead worker, so find out which it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from orchestrator.core.session import Record
from orchestrator.engine.adopting import Adopter
from orchestrator.engine.services import Services
from orchestrator.engine.settling import Settler
from orchestrator.ports import WorkerFate
from replwire.errors import ERROR_CODES, WireError

STORE_POLL_S: Final = 0.5
"""Between looks at the worker while the store does not answer."""

FATE_POLL_S: Final = 0.02
"""Between questions to the runtime whether a worker whose link was lost still lives."""

_OUT_OF_REACH: Final = "the worker went out of reach"

ReadRecord = Callable[[], Awaitable[Record]]
Replace = Callable[[WireError], Awaitable[None]]


class Investigator:
    """Of one `LiveSession`; `replace` ends its worker with a cause and goes on."""

    def __init__(
        self, services: Services, settler: Settler, adopter: Adopter, record: ReadRecord, replace: Replace
    ) -> None:
        self._services = services
        self._settler = settler
        self._adopter = adopter
        self._record = record
        self._replace = replace

    async def investigate(self, cause: str, told: dict[str, Any]) -> None:
        """Dial again until the runtime knows better or the time is up. `told`: what the agent said last."""
        code, _, words = cause.partition(": ")
        if cause:
            await self._replace(WireError(code if code in ERROR_CODES else "worker_unresponsive", words or cause))
            return
        if not await self._is_resolved_in_time(told):
            last = told or {"code": "worker_unresponsive", "message": _OUT_OF_REACH}
            await self._replace(_words_of(WorkerFate(None), last))

    async def _is_resolved_in_time(self, told: dict[str, Any]) -> bool:
        clock = self._services.clock
        deadline = clock.monotonic() + self._services.config.worker_lost_ms / 1000
        while clock.monotonic() < deadline:
            try:
                if await self._is_resolved(told):
                    return True
                await asyncio.sleep(FATE_POLL_S)
            except WireError as error:
                if error.code != "store_unavailable":
                    raise
                await asyncio.sleep(STORE_POLL_S)
        return False

    async def _is_resolved(self, told: dict[str, Any]) -> bool:
        """One look at the worker: it is dead and replaced, or it is linked again."""
        record = await self._record()
        fate = await self._services.runtime.fate(record.worker.worker) if record.worker else WorkerFate(False)
        if fate.alive is False:
            error = _words_of(fate, told)
            self._services.metrics.worker_deaths.labels(error.code).inc()
            await self._replace(error)
            return True
        await self._settler.settle_if_moved(record)
        return record.worker is not None and not told and await self._adopter.adopt(record, record.worker)


def _words_of(fate: WorkerFate, told: dict[str, Any]) -> WireError:
    if fate.memory_killed:
        return WireError("memory_limit", "the worker used more memory than it may")
    if told.get("code") in ERROR_CODES:
        return WireError(str(told["code"]), str(told.get("message", ""))[:1000])
    how = f" (exit status {fate.exit_code})" if fate.exit_code is not None else ""
    return WireError("worker_died", f"the worker was killed{how}")
