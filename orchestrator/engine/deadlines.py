"""How long requests may run, and what becomes of those that do not stop when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from orchestrator.engine.requests import Pending
from orchestrator.engine.services import Services
from replwire.frames import Kind
from replwire.messages import Eval

if TYPE_CHECKING:
    from orchestrator.engine.request_table import RequestTable
    from orchestrator.engine.session import LiveSession

_STOP_WORDS: Final = {"timeout": "the time limit passed", "interrupted": "the interrupt was not obeyed"}


class Deadlines:
    """Of the open requests of one `LiveSession`."""

    def __init__(self, services: Services, session: LiveSession, requests: RequestTable) -> None:
        self._services = services
        self._session = session
        self._requests = requests

    def arm(self, pending: Pending) -> None:
        """Its time starts now."""
        payload = pending.request.payload
        if pending.numbered:
            limit_s = min(pending.timeout_s_max, float(self._session.policy.limits["eval_timeout_s"]))
            asked_s = payload.timeout_s if isinstance(payload, Eval) else None
            pending.expires_at = self._services.clock.monotonic() + min(limit_s, asked_s or limit_s)
            self._hold_to_deadline(pending)

    def dispatched(self, pending: Pending) -> None:
        """It was sent to a worker; when that is not the first time, its time goes on."""
        if pending.expires_at:
            self._hold_to_deadline(pending)
        else:
            self.arm(pending)

    def _hold_to_deadline(self, pending: Pending) -> None:
        pending.disarm()
        left_s = pending.expires_at - self._services.clock.monotonic()
        self._later(pending, max(0.0, left_s), self._expired)

    def _later(self, pending: Pending, delay_s: float, then: Callable[[Pending], None]) -> None:
        pending.timers.append(asyncio.get_running_loop().call_later(delay_s, then, pending))

    def _expired(self, pending: Pending) -> None:
        running = self._requests.running()
        if running is None or pending is running:
            self.stop(pending, "timeout")
        else:
            # It waits behind another eval: its own time starts when it does.
            self.arm(pending)

    def interrupted(self, said: dict[str, Any]) -> None:
        """The agent's answer to a client's interrupt: what it hit has the grace to end, and nothing else."""
        target = said.get("target")
        if said.get("status") != "interrupted" or not isinstance(target, str):
            return
        pending = self._requests.get(target)
        if pending is None:
            self._session.stray.interrupted(target)
        elif pending.numbered and pending.dispatched:
            self.escalate_after_grace(pending, "interrupted")

    def stop(self, pending: Pending, reason: str) -> None:
        """Interrupt a running request on our own account; what does not obey loses its worker."""
        link = self._session.link
        if link is not None:
            link.send(Kind.INTERRUPT, (pending.request.id.encode(), reason.encode()), ref=link.next_ref())
        self.escalate_after_grace(pending, reason)

    def escalate_after_grace(self, pending: Pending, reason: str) -> None:
        """Replace the worker unless the request ends within `interrupt_grace_s`."""
        pending.stop_reason = pending.stop_reason or reason
        self._later(pending, float(self._services.config.limits["interrupt_grace_s"]), self._escalate)

    def _escalate(self, pending: Pending) -> None:
        if self._requests.get(pending.request.id) is pending:
            reason = pending.stop_reason
            self._session.replace_worker(reason, f"{_STOP_WORDS.get(reason, reason)}; the worker was replaced")
