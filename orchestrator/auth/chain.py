"""Several ways to prove who one is, asked in turn; failures of all kinds look and last alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator
from replwire.errors import WireError

REFUSAL: Final = "no valid token"
"""What every failure says: whether a key exists, was revoked or never was is nobody's business."""
TOKEN_CHARS_MAX: Final = 4096
"""Of a token; a longer one is refused, in the same words."""


def refusal() -> WireError:
    """The one error of this package."""
    return WireError("unauthenticated", REFUSAL)


class Chain:
    """An Authenticator made of others. Every one of them is asked, so that the time does not tell which one knew."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def authenticate(self, token: str) -> Principal:
        """The first Principal found; raises `unauthenticated`."""
        found = [_ask(authenticator, token[:TOKEN_CHARS_MAX]) for authenticator in self._authenticators]
        known = [principal for principal in found if principal is not None]
        if not known or len(token) > TOKEN_CHARS_MAX:
            raise refusal()
        return known[0]


def _ask(authenticator: Authenticator, token: str) -> Principal | None:
    try:
        return authenticator.authenticate(token)
    except WireError:
        return None
