"""The way to a session's worker: adopt the one that runs, replace the one that died, let another front door do it.

A dead link is not a dead worker, and a worker that is out of this front door's reach may serve another one: it is
replaced only when it is dead, or when no front door has said for `worker_lost_ms` that it is linked (durability.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from orchestrator.core.session import Record
from orchestrator.engine.adopting import Adopted, Adopter
from orchestrator.engine.services import Services
from orchestrator.engine.settling import Settler
from orchestrator.ports import WorkerFate
from replwire.errors import ERROR_CODES, WireError

STORE_POLL_S: Final = 0.5
"""Between looks at the worker while the store does not answer."""

FATE_POLL_S: Final = 0.02
"""Between looks at a worker that is out of reach, or that another front door is about to provide."""

_OUT_OF_REACH: Final = "the worker went out of reach"

ReadRecord = Callable[[], Awaitable[Record]]
Replace = Callable[[Record, WireError], Awaitable[bool]]
"""End the worker of this record and go on; False when another front door was faster."""
Provide = Callable[[Record], Awaitable[bool]]
"""A worker for a session that has none; False likewise."""
Rest = Callable[[], bool]
"""Whether the session that has no worker needs none."""


class _Patience:
    """How long a worker may be out of reach: `lost_s` since anybody last said that it is linked, and not longer than
    that for us, who have clients that wait."""

    def __init__(self, now: float, lost_s: float) -> None:
        self._lost_s = lost_s
        self.until = self._linked_until = now + lost_s
        self._linked_at: float | None = None

    def look(self, record: Record, now: float) -> None:
        """The record as it is now."""
        if self._linked_at is not None and record.linked_at != self._linked_at:
            self._linked_until = now + self._lost_s
        self._linked_at = record.linked_at

    def is_others(self, now: float) -> bool:
        """Whether another front door is linked to it, although we are not."""
        return now < self._linked_until


class Seeker:
    """Of one `LiveSession`."""

    def __init__(
        self, services: Services, settler: Settler, adopter: Adopter, record: ReadRecord, replace: Replace,
        provide: Provide, rest: Rest,
    ) -> None:  # fmt: skip
        self._services = services
        self._settler = settler
        self._adopter = adopter
        self._record = record
        self._replace = replace
        self._provide = provide
        self._rest = rest

    async def seek(self, told: dict[str, Any]) -> None:
        """Until there is a worker that is linked, or one that died has been replaced, or nobody needs one. `told`: what
        the agent that we were linked to said last. Raises `busy` when the worker serves another front door and is out
        of our reach."""
        services, now = self._services, self._services.clock.monotonic
        patience = _Patience(now(), services.config.worker_lost_ms / 1000)
        while True:
            try:
                if await self._is_found(patience, told):
                    return
                await asyncio.sleep(FATE_POLL_S)
            except WireError as error:
                if error.code != "store_unavailable" or now() >= patience.until:
                    raise
                await asyncio.sleep(STORE_POLL_S)

    async def _is_found(self, patience: _Patience, told: dict[str, Any]) -> bool:
        """One look."""
        record, now = await self._record(), self._services.clock.monotonic()
        patience.look(record, now)
        if await self._settler.settle_if_moved(record):
            told.clear()
        if record.worker is None:
            return await self._is_provided(record, patience, now)
        fate = await self._services.runtime.fate(record.worker)
        if fate.alive is False:
            return await self._is_replaced(record, words_of(fate, told))
        adopted = Adopted.NOT_NOW if told else await self._adopter.adopt(record, record.worker)
        if adopted is Adopted.NEVER:
            return await self._replace(record, WireError("worker_unresponsive", "the worker takes us for strangers"))
        if adopted is Adopted.NOT_NOW and now >= patience.until:
            return await self._is_given_up(record, patience, now, told)
        return adopted is Adopted.LINKED

    async def _is_provided(self, record: Record, patience: _Patience, now: float) -> bool:
        if self._rest() or await self._provide(record):
            return True
        if now >= patience.until + self._services.config.replace_deadline_s:
            raise WireError("busy", "another front door is replacing the worker", retry_after_ms=1000)
        return False

    async def _is_replaced(self, record: Record, error: WireError) -> bool:
        if not await self._replace(record, error):
            return False
        self._services.metrics.worker_deaths.labels(error.code).inc()
        return True

    async def _is_given_up(self, record: Record, patience: _Patience, now: float, told: dict[str, Any]) -> bool:
        if patience.is_others(now):
            await self._settler.answer_stored()
            raise WireError("busy", "the worker serves another front door and is out of this one's reach",
                            retry_after_ms=1000)  # fmt: skip
        last = told or {"code": "worker_unresponsive", "message": _OUT_OF_REACH}
        return await self._replace(record, words_of(WorkerFate(None), last))


def words_of(fate: WorkerFate, told: dict[str, Any]) -> WireError:
    """Why a worker is gone: what the runtime knows, else what its agent said last."""
    if fate.memory_killed:
        return WireError("memory_limit", "the worker used more memory than it may")
    if told.get("code") in ERROR_CODES:
        return WireError(str(told["code"]), str(told.get("message", ""))[:1000])
    how = f" (exit status {fate.exit_code})" if fate.exit_code is not None else ""
    return WireError("worker_died", f"the worker was killed{how}")
