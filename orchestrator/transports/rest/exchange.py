"""One envelope in, its one terminal out: the Channel of a REST request."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from orchestrator.core.encoding import to_text
from replwire.envelopes import Json

TERMINALS: Final = frozenset({"result", "reply", "pong", "error"})

_NO_ID: Final = '{"type":"error"'
"""How the answer to an envelope whose id could not be used begins."""


class Exchange:
    """Implements `ports.Channel`. Events and other people's output are let go by at once: nobody here reads them."""

    def __init__(self, request: Json) -> None:
        self._request: str | None = to_text(request)
        # Every envelope that the engine writes with an id begins with it.
        self._prefixes = (f'{{"id":{to_text(request["id"])},', _NO_ID)
        self._over = asyncio.Event()
        self.answer: Json | None = None
        """The terminal, once there is one."""
        self.has_gone = False
        """Whether the client hung up before."""

    async def receive(self) -> str | None:
        """The request; then None, when it is answered or nobody waits any more."""
        request, self._request = self._request, None
        if request is not None:
            return request
        await self._over.wait()
        return None

    def offer(self, text: str) -> bool:
        """Look whether it is the answer."""
        if self.answer is None and text.startswith(self._prefixes):
            message = json.loads(text)
            if message["type"] in TERMINALS:
                self.answer = message
                self._over.set()
        return True

    async def send(self, text: str) -> None:
        """The same; it never has to wait."""
        self.offer(text)

    async def close(self, code: int, reason: str) -> None:
        """The engine has no more to say."""
        self._over.set()

    def hang_up(self) -> None:
        """The client has gone: what it asked for goes on or not, as `on_disconnect` says."""
        self.has_gone = True
        self._over.set()
