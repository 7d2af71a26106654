"""The end of a principal while its connection lives: its token expired, or was revoked.

What it asked for and what runs may end, and is answered; nothing else is served, and then the connection is closed.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.engine.requests import Pending, Subscriber
from replwire.errors import WireError
from replwire.frames import Kind

if TYPE_CHECKING:
    from orchestrator.engine.conversation import Conversation
    from orchestrator.engine.session import LiveSession

REASON: Final = "the token is no longer valid"

_log = structlog.get_logger("bascule.conversation")


class Lapse:
    """Of one conversation. `told` is set by whoever finds that the principal would not be let in any more."""

    def __init__(self, talk: Conversation, told: asyncio.Event) -> None:
        self._talk = talk
        self._told = told
        expires_at = talk.principal.expires_at
        self._expires_at = None if math.isinf(expires_at) else expires_at
        self.in_message = False
        """Set by whoever serves a message, for as long as that takes."""
        self._saying_goodbye = False
        self._watching: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """From now on it is noticed also when the client says nothing."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """The client has gone, or hears a goodbye, which is waited for."""
        if self._watching is not None:
            self._watching.cancel()
        if self._ending is not None:
            if not self._saying_goodbye:
                self._ending.cancel()
            await asyncio.wait([self._ending])

    @property
    def is_over(self) -> bool:
        """Whether the principal may ask for nothing more. By the wall clock, as tokens are."""
        if self._told.is_set():
            return True
        return self._expires_at is not None and self._expires_at <= self._talk.services.clock.now()

    def check(self) -> None:
        """Raises `unauthenticated` when it is over."""
        if self.is_over:
            raise WireError("unauthenticated", REASON)

    def message_served(self) -> None:
        """An end that came while a message was served has waited for it: what it asked for counts as running."""
        self.in_message = False
        if self.is_over:
            self._end()

    async def _watch(self) -> None:
        await self._told.wait()
        if not self.in_message:
            self._end()

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        _log.info("conversation lapsed", principal=self._talk.principal_name)
        await self._talk.let_finish()
        self._saying_goodbye = True
        await self._talk.send_away(REASON)


def let_finish(session: LiveSession, subscriber: Subscriber) -> list[asyncio.Future[None]]:
    """What a client alone waits for and has not started is withdrawn; its other requests end when the futures do."""
    requests = session.requests
    running, uncommitted = requests.running(), {outcome.request_id for outcome in session.committer.waiting}
    for pending in requests.all():
        is_its_own = pending.waiters == [subscriber] and pending is not running
        if is_its_own and pending.request.id not in uncommitted:
            _do_not_start(session, pending)
    return [_until_over(pending) for pending in requests.all() if subscriber in pending.waiters]


def _do_not_start(session: LiveSession, pending: Pending) -> None:
    if not pending.dispatched:
        session.requests.refuse(pending, WireError("unauthenticated", "the token ended before this request started"))
    elif session.link is not None:
        session.link.send(Kind.CANCEL, (pending.request.id.encode(),), ref=session.link.next_ref())


def _until_over(pending: Pending) -> asyncio.Future[None]:
    if pending.over is None:
        pending.over = asyncio.get_running_loop().create_future()
    return pending.over
