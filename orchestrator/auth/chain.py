"""Several ways to prove who one is, asked in turn; failures of all kinds look and last alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator, ProofUnavailableError
from replwire.errors import WireError

REFUSAL: Final = "no valid token"
"""What every failure says: whether a key exists, was revoked or never was is nobody's business."""
TOKEN_CHARS_MAX: Final = 4096
"""Of a token; a longer one is refused, in the same words."""


def _nobody(_: Principal) -> bool:
    return False


def refusal() -> WireError:
    """The one error of this package."""
    return WireError("unauthenticated", REFUSAL)


class Chain:
    """An Authenticator made of others. Every one of them is asked, so that the time does not tell which one knew."""

    def __init__(self, authenticators: Sequence[Authenticator], revoked: Callable[[Principal], bool] = _nobody) -> None:
        self._authenticators = tuple(authenticators)
        self._revoked = revoked

    def authenticate(self, token: str) -> Principal:
        """The first Principal found; raises `unauthenticated`, or `ProofUnavailableError` when nobody knew the token
        and one of them cannot tell now."""
        found = [_ask(authenticator, token[:TOKEN_CHARS_MAX]) for authenticator in self._authenticators]
        known = [answer for answer in found if isinstance(answer, Principal)]
        unsure = [answer for answer in found if isinstance(answer, ProofUnavailableError)]
        if unsure and not known:
            raise unsure[0]
        if not known or len(token) > TOKEN_CHARS_MAX or self._revoked(known[0]):
            raise refusal()
        return known[0]

    def stands(self, principal: Principal) -> bool:
        """Whether one of them would still let this principal in, and nothing of it was revoked."""
        return not self._revoked(principal) and any(one.stands(principal) for one in self._authenticators)


def _ask(authenticator: Authenticator, token: str) -> Principal | ProofUnavailableError | None:
    try:
        return authenticator.authenticate(token)
    except ProofUnavailableError as error:
        return error
    except WireError:
        return None
