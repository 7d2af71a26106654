"""Requests that have been accepted and have not ended, and who waits for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.intake import Request
from replwire.messages import Eval, Files


class Subscriber(Protocol):
    """A client's conversation, as the session that it is bound to sees it."""

    role: str
    told_everything: bool
    """False for the plainest clients, which get answers and output and no word about the session's own life."""
    principal_name: str
    limits: Mapping[str, int]
    """The operator's, lowered by the principal's."""

    def deliver(self, text: str, cost_bytes: int = 0, batch: Consumption | None = None) -> None:
        """Send an envelope in order; when it has left, `batch` is told that its bytes are consumed."""


class Consumption:
    """Counts an event down over its subscribers: the slowest one decides when its bytes are consumed."""

    __slots__ = ("_count_bytes", "_done", "_left")

    def __init__(self, left: int, count_bytes: int, done: ConsumedCallback) -> None:
        self._left = left
        self._count_bytes = count_bytes
        self._done = done

    def one(self) -> None:
        """One subscriber has it, or has gone."""
        self._left -= 1
        if self._left == 0:
            self._done(self._count_bytes)


class ConsumedCallback(Protocol):
    """Told that so many bytes have left for everyone."""

    def __call__(self, count_bytes: int, /) -> None: ...


@dataclass(slots=True, eq=False)
class Pending:
    """A request on its way: waiting for a link, dispatched, or executed and waiting for its commit."""

    request: Request
    principal: str
    waiters: list[Subscriber]
    accepted_at: float
    dispatched: bool = False
    ref: int = 0
    intended: bool = False
    """Whether its intent is in the store, or on the way there."""
    started: bool = False
    """Whether the agent said that it had to wait and starts now."""
    expires_at: float = 0.0
    """When its time is over, by the monotonic clock; 0: it was not sent to a worker yet."""
    stop_reason: str = ""
    """Why we stopped it: `interrupted` or `timeout`; empty when we did not."""
    timeout_s_max: float = math.inf
    """Of whoever asked; the session has a limit of its own."""
    over: asyncio.Future[None] | None = None
    """For whoever waits until it is answered."""
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def numbered(self) -> bool:
        """Whether it gets a seq and is committed."""
        payload = self.request.payload
        return isinstance(payload, Eval) or (isinstance(payload, Files) and payload.op in ("write", "delete"))

    def disarm(self) -> None:
        """No deadline holds any more."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def join(self, subscriber: Subscriber) -> None:
        """One more client waits for the same id."""
        if subscriber not in self.waiters:
            self.waiters.append(subscriber)
