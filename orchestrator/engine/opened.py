"""Ids of `open` requests, by principal: the same id with the same body is answered with the same session."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from typing import Final

from replwire.errors import WireError

OPEN_IDS_MAX: Final = 1000
"""Remembered of one principal; the oldest is forgotten first."""


class OpenedIds:
    """Of this front door: a client that lost the answer with its connection asks again here."""

    def __init__(self) -> None:
        self._by_principal: dict[str, OrderedDict[str, tuple[bytes, str]]] = {}

    def find(self, principal: str, request_id: str, hashed: bytes) -> str | None:
        """The session that this id opened; raises `conflict` when it was with another body."""
        ids = self._by_principal.get(principal)
        known = ids.get(request_id) if ids is not None else None
        if known is None:
            return None
        if not hmac.compare_digest(known[0], hashed):
            raise WireError("conflict", "the id was used with another body")
        return known[1]

    def add(self, principal: str, request_id: str, hashed: bytes, session: str) -> None:
        """This id opened that session."""
        ids = self._by_principal.setdefault(principal, OrderedDict())
        ids[request_id] = hashed, session
        if len(ids) > OPEN_IDS_MAX:
            ids.popitem(last=False)
