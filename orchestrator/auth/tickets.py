"""One-time tickets: for browsers, whose WebSockets cannot show a token in a header.

A ticket is a principal and an end, sealed with a key that all front doors of an installation share, so that any of
them takes what another one gave. Its nonce is spent in the store: the second use is refused wherever it comes. It
says nothing to whoever finds it in a log, and is over by then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import os
import re
import time
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.auth.chain import refusal
from orchestrator.core.principal import Principal

TICKET_TTL_S: Final = 30
SPENT_TTL_S: Final = 600
"""How long a spent nonce is remembered; longer than a ticket lives, for front doors whose clocks are apart."""
TICKET_CHARS_MAX: Final = 4096
NONCE_BYTES: Final = 12

_BASE64URL: Final = re.compile("[A-Za-z0-9_-]+")
_PURPOSE: Final = b"bascule ticket v1"

Spend = Callable[[str, int], Awaitable[bool]]
"""`Store.spend`."""


class Tickets:
    """Implements `ports.TicketOffice`. `stands` is asked whether a principal would still be let in."""

    def __init__(
        self, key: bytes, spend: Spend, stands: Callable[[Principal], bool], *,
        now: Callable[[], float] = time.time, random: Callable[[int], bytes] = os.urandom,
    ) -> None:  # fmt: skip
        self._cipher = AESGCM(hmac.digest(key, _PURPOSE, hashlib.sha256))
        self._spend = spend
        self._stands = stands
        self._now = now
        self._random = random

    def issue(self, principal: Principal) -> tuple[str, int]:
        """A ticket and its life in whole seconds; raises `unauthenticated` for a principal that is at its end."""
        now = self._now()
        life_s = min(TICKET_TTL_S, math.floor(min(principal.expires_at, now + TICKET_TTL_S) - now))
        if life_s < 1:
            raise refusal()
        nonce = self._random(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, _text_of(principal, now + life_s), _PURPOSE)
        return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode("ascii"), life_s

    async def redeem(self, ticket: str) -> Principal:
        """The principal, once; raises `unauthenticated` or `store_unavailable`."""
        nonce, body = self._opened(ticket)
        principal = _principal_of(body)
        if body["until"] <= self._now() or not self._stands(principal):
            raise refusal()
        if not await self._spend(nonce.hex(), SPENT_TTL_S):
            raise refusal()
        return principal

    def _opened(self, ticket: str) -> tuple[bytes, dict[str, Any]]:
        if len(ticket) > TICKET_CHARS_MAX or not _BASE64URL.fullmatch(ticket):
            raise refusal()
        try:
            raw = base64.urlsafe_b64decode(ticket + "=" * (-len(ticket) % 4))
            nonce, sealed = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            body: dict[str, Any] = json.loads(self._cipher.decrypt(nonce, sealed, _PURPOSE))
        except (binascii.Error, ValueError, InvalidTag):
            raise refusal() from None
        return nonce, body


def _text_of(principal: Principal, until: float) -> bytes:
    expires_at = None if math.isinf(principal.expires_at) else principal.expires_at
    body = {
        "until": until, "tenant": principal.tenant, "subject": principal.subject, "scopes": sorted(principal.scopes),
        "limits": dict(principal.limits), "credential": principal.credential, "authority": principal.authority,
        "expires_at": expires_at,
    }  # fmt: skip
    return json.dumps(body, separators=(",", ":")).encode("utf-8")


def _principal_of(body: dict[str, Any]) -> Principal:
    expires_at = body["expires_at"]
    return Principal(
        body["tenant"], body["subject"], frozenset(body["scopes"]), MappingProxyType(body["limits"]),
        credential=body["credential"], authority=body["authority"],
        expires_at=math.inf if expires_at is None else expires_at,
    )  # fmt: skip
