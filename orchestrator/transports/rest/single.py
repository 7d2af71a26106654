"""What the Channels of REST share: one request goes in, then nothing more until somebody says that it is over."""

from __future__ import annotations

import asyncio

from orchestrator.core.encoding import to_text
from replwire.envelopes import Json


class SingleRequest:
    """The receiving half of `ports.Channel`, and its end."""

    def __init__(self, request: Json) -> None:
        self._request: str | None = to_text(request)
        self._over = asyncio.Event()
        self.has_gone = False
        """Whether the client hung up, or was hung up on."""

    async def receive(self) -> str | None:
        """The request; then None, when there is nothing more to say or nobody to say it to."""
        request, self._request = self._request, None
        if request is not None:
            return request
        await self._over.wait()
        return None

    async def close(self, code: int, reason: str) -> None:
        """The engine has no more to say."""
        self._over.set()

    def hang_up(self) -> None:
        """The client has gone: what it asked for goes on or not, as `on_disconnect` says."""
        self.has_gone = True
        self._over.set()
