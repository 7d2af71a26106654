"""Intents on their way to the store: nobody waits for them, and an eval that is committed soon needs none.

An intent waits one to two `INTENT_WAIT_S` before it is written, so that the store hears only of evals that take their
time; the commit of its id takes it away here or there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.core.intents import Intent
from orchestrator.core.session import Record
from orchestrator.engine.requests import Pending
from orchestrator.ports import Store
from replwire.errors import WireError

INTENT_WAIT_S: Final = 0.02

_log = structlog.get_logger("bascule.intents")


@dataclass(slots=True)
class _Waiting:
    record: Record
    pending: Pending


def intent_of(record: Record, pending: Pending) -> Intent:
    """The intent to run a request in the record's generation."""
    request, keeps = pending.request, record.policy.acts_outside
    return Intent(record.session, record.generation, record.nonce, request.id, request.hash, pending.principal, keeps)


class Intents:
    """Of this front door, over all of its sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._young: dict[tuple[str, str], _Waiting] = {}
        self._old: dict[tuple[str, str], _Waiting] = {}
        self._withdrawn: list[Intent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def add(self, record: Record, pending: Pending) -> None:
        """It was sent to its worker."""
        self._young[record.session, pending.request.id] = _Waiting(record, pending)
        self._arm()

    def committed(self, session: str, request_id: str) -> None:
        """It has an outcome in the store; what is there of its intent went in the same step."""
        key = session, request_id
        if self._young.pop(key, None) is None:
            self._old.pop(key, None)

    def withdraw(self, record: Record, pending: Pending) -> None:
        """It was not started after all."""
        self.committed(record.session, pending.request.id)
        self._withdrawn.append(intent_of(record, pending))
        self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTENT_WAIT_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._sending is None:
            due, self._old, self._young = self._old, self._young, {}
            gone, self._withdrawn = self._withdrawn, []
            if due or gone:
                self._sending = asyncio.create_task(self._send(list(due.values()), gone))
        if self._old or self._young or self._withdrawn:
            self._arm()

    async def _send(self, due: list[_Waiting], gone: list[Intent]) -> None:
        try:
            await self._store.intend([intent_of(item.record, item.pending) for item in due])
            await self._store.withdraw(gone)
        except WireError as error:
            # The evals go on, and their commits say of themselves that the store is away.
            _log.warning("intents not written", cause=error.message, count=len(due), withdrawn=len(gone))
        finally:
            self._sending = None

    async def close(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._send([*self._old.values(), *self._young.values()], self._withdrawn)
