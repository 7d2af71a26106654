"""One token for a laptop: whoever has it is the developer. For listeners on loopback only, which `settings` sees to."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from orchestrator.auth.chain import refusal
from orchestrator.core.principal import Principal

DEVELOPER: Final = Principal(tenant="dev", subject="developer")


def digest_of(token: str) -> bytes:
    """SHA-256 of a token: what is compared, so that neither its length nor its beginning shows in the time."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class DevToken:
    """An Authenticator that knows one token."""

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("the dev token is empty")
        self._digest = digest_of(token)

    def authenticate(self, token: str) -> Principal:
        """The developer; raises `unauthenticated`."""
        if not hmac.compare_digest(digest_of(token), self._digest):
            raise refusal()
        return DEVELOPER
