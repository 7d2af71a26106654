"""In a session whose evals act outside, the intent is in the store before the worker gets a request (promise 4).

What an earlier generation was to run and left without an outcome may have acted: its id is not run again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from orchestrator.core.intents import IntentReply
from orchestrator.engine.intents import intent_of
from orchestrator.engine.phase import Phase
from orchestrator.engine.requests import Pending
from orchestrator.engine.services import Services
from replwire.errors import WireError

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession


_log = structlog.get_logger("bascule.requests")


class Gate:
    """Of one `LiveSession`; `send` gives a request to the linked worker. The order of acceptance is kept."""

    def __init__(self, services: Services, session: LiveSession, send: Callable[[Pending], None]) -> None:
        self._services = services
        self._session = session
        self._send = send
        self._is_shut = session.policy.acts_outside and session.policy.durability != "none"
        self._queue: deque[Pending] = deque()
        self._task: asyncio.Task[None] | None = None

    def holds(self, pending: Pending) -> bool:
        """Whether the request waits here, and is sent from here."""
        if not self._is_shut or not (pending.numbered or self._queue):
            return False
        if pending not in self._queue:
            self._queue.append(pending)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return True

    def forget(self) -> None:
        """The link has gone; what waits is dispatched again when there is another one."""
        self._queue.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None

    async def _run(self) -> None:
        while self._queue:
            pending = self._queue[0]
            if pending.numbered and not await self._is_written(pending):
                return
            self._queue.popleft()
            if self._session.requests.get(pending.request.id) is pending and self._session.phase is Phase.LINKED:
                self._send(pending)

    async def _is_written(self, pending: Pending) -> bool:
        """Whether to go on with the queue."""
        requests = self._session.requests
        try:
            (reply,) = await self._services.store.intend([intent_of(self._session.record, pending)])
        except WireError as error:
            requests.fail(pending, error)
            return True
        except Exception:  # noqa: BLE001 - those behind it must be served, and it is owed an answer
            _log.exception("request failed", session_id=self._session.id, request_id=pending.request.id)
            requests.fail(pending, WireError("internal", "something went wrong on our side"))
            return True
        if reply.is_fenced:
            self._session.acknowledger.fenced()
            return False
        if reply.earlier is not None:
            requests.fail(pending, _left_by(reply, reply.earlier))
        else:
            pending.intended = True
            if requests.get(pending.request.id) is not pending:
                # It was cancelled while its intent was on the way.
                self._services.intents.withdraw(self._session.record, pending)
        return True


def _left_by(reply: IntentReply, generation: int) -> WireError:
    if reply.is_conflict:
        return WireError("conflict", "the id was used with another body", generation=generation)
    words = f"generation {generation} was to run it and left no outcome; it may have taken effect"
    return WireError("outcome_unknown", words, generation=generation)
