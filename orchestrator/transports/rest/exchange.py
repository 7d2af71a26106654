"""One envelope in, its one terminal out: the Channel of a REST request."""

from __future__ import annotations

import json
from typing import Final

from orchestrator.core.encoding import to_text
from orchestrator.transports.rest.single import SingleRequest
from replwire.envelopes import Json

TERMINALS: Final = frozenset({"result", "reply", "pong", "error"})

_NO_ID: Final = '{"type":"error"'
"""How the answer to an envelope whose id could not be used begins."""


class Exchange(SingleRequest):
    """Implements `ports.Channel`. Events and other people's output are let go by at once: nobody here reads them."""

    def __init__(self, request: Json) -> None:
        super().__init__(request)
        # Every envelope that the engine writes with an id begins with it.
        self._prefixes = (f'{{"id":{to_text(request["id"])},', _NO_ID)
        self.answer: Json | None = None
        """The terminal, once there is one."""

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
