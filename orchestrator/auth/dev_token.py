"""One token for a laptop: whoever has it is the developer. For listeners on loopback only, which `settings` sees to."""

from __future__ import annotations

import hashlib
import hmac
import string
from typing import Final

from orchestrator.auth.chain import TOKEN_CHARS_MAX, refusal
from orchestrator.core.principal import Principal

DEVELOPER: Final = Principal(tenant="dev", subject="developer", credential="dev", authority="dev")

_SHOWABLE: Final = frozenset(string.ascii_letters + string.digits + string.punctuation)
"""What comes through a header as it was given: spaces are cut off, other characters have several encodings."""


def digest_of(token: str) -> bytes:
    """SHA-256 of a token: what is compared, so that neither its length nor its beginning shows in the time."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class DevToken:
    """An Authenticator that knows one token; one that no client could show is a `ValueError`."""

    def __init__(self, token: str) -> None:
        if not 1 <= len(token) <= TOKEN_CHARS_MAX or not _SHOWABLE.issuperset(token):
            raise ValueError(f"the dev token is 1 to {TOKEN_CHARS_MAX} ASCII letters, digits and signs, without spaces")
        self._digest = digest_of(token)

    def authenticate(self, token: str) -> Principal:
        """The developer; raises `unauthenticated`."""
        if not hmac.compare_digest(digest_of(token), self._digest):
            raise refusal()
        return DEVELOPER

    def stands(self, principal: Principal) -> bool:
        """Whether it is the developer."""
        return principal == DEVELOPER
