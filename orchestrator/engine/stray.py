"""An eval that runs and that no client here waits for: its deadline is held all the same.

Deadlines of evals are held by front doors, not by the agent; the one that dispatched this one may be gone. One that
another front door dispatched and a client of ours interrupted is looked after likewise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.engine.link import Link
from orchestrator.engine.services import Services
from replwire.errors import WireError
from replwire.frames import Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession


class Stray:
    """Of one `LiveSession`; there is at most one, for a worker runs one eval at a time."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session
        self._id = ""
        self._timer: asyncio.TimerHandle | None = None

    def found(self, request_id: str) -> None:
        """It runs, since nobody knows when: it gets the whole time of an eval from now on."""
        self._id = request_id
        self._later(float(self._session.policy.limits["eval_timeout_s"]), self._expired)

    def is_of(self, request_id: str) -> bool:
        """Whether this is the eval that runs."""
        return self._id == request_id != ""

    def interrupted(self, request_id: str) -> None:
        """A client had it interrupted: it has the grace to obey."""
        self._id = request_id
        self._escalate_after_grace("interrupted")

    def ended(self, request_id: str) -> None:
        """It is over."""
        if request_id == self._id:
            self.forget()

    def forget(self) -> None:
        """Nothing is held."""
        self._id = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self, delay_s: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, then)

    def _expired(self) -> None:
        self._timer = None
        if self._session.link is not None:
            self._session.connector.aside(self._interrupt(self._session.link))

    async def _interrupt(self, link: Link) -> None:
        with contextlib.suppress(WireError):  # the link is lost, and its listener knows
            await link.call(Kind.INTERRUPT, (self._id.encode(), b"timeout"), then=self._told)

    def _told(self, said: dict[str, Any]) -> None:
        if said.get("status") == "interrupted":
            self._escalate_after_grace("timeout")
        else:
            # It was no eval, or it has ended this moment.
            self.forget()

    def _escalate_after_grace(self, code: str) -> None:
        grace_s = float(self._services.config.limits["interrupt_grace_s"])
        self._later(grace_s, lambda: self._session.connector.aside(self._escalate(code)))

    async def _escalate(self, code: str) -> None:
        """Its outcome may have gone to another front door: only what still runs costs the worker."""
        link, running = self._session.link, self._id
        if link is None or not running:
            return
        with contextlib.suppress(WireError):  # the link is lost, or the next round finds that it does not answer
            if (await link.call(Kind.PING)).get("running") == running and link is self._session.link:
                words = f"an eval did not end ({code}); the worker was replaced"
                self._session.replace_worker(code, words)
        self.ended(running)
