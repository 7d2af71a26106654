"""What a server would say to a token, with the reasons that it never tells: for whoever has its settings beside him.

Nothing here is proved by being shown: what stands in a token's header and claims is what the token says of itself.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.auth.chain import TOKEN_CHARS_MAX
from orchestrator.auth.jwt_tokens import JwtIssuer, TokenRefusedError, read_claims, read_header
from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator, ProofUnavailableError
from replwire.errors import WireError

_TOO_LONG: Final = f"it has more than {TOKEN_CHARS_MAX} characters"
_UNKNOWN: Final = "it is not known there"


@dataclass(frozen=True, slots=True)
class TokenReport:
    """The answer to one token."""

    says_of_itself: dict[str, Any] | None
    """Header and claims, when it is a JWT that can be read."""
    ways: tuple[tuple[str, str], ...]
    """Each setting that could let it in, and why it does not, or that it does."""
    principal: Principal | None
    """Who would be let in."""

    @property
    def is_let_in(self) -> bool:
        """Whether a server would take it now."""
        return self.principal is not None

    def as_json(self) -> str:
        """For programs."""
        body = {
            "let_in": self.is_let_in, "says_of_itself": self.says_of_itself,
            "ways": [{"way": way, "answer": answer} for way, answer in self.ways], "principal": self._principal(),
        }  # fmt: skip
        return json.dumps(body, indent=1)

    def as_text(self) -> str:
        """For people. What the token says is escaped: it may come from anybody."""
        lines = [f"{'let in' if self.is_let_in else 'refused'}"]
        lines += [f"  {way}: {answer}" for way, answer in self.ways]
        for title, said in (("it says of itself", self.says_of_itself), ("principal", self._principal())):
            if said is not None:
                lines += [title, *(f"  {name}: {json.dumps(value)}" for name, value in said.items())]
        return "\n".join(lines)

    def _principal(self) -> dict[str, Any] | None:
        who = self.principal
        if who is None:
            return None
        ends = None if math.isinf(who.expires_at) else datetime.fromtimestamp(who.expires_at, UTC).isoformat()
        return {
            "tenant": who.tenant, "subject": who.subject, "scopes": sorted(who.scopes), "limits": dict(who.limits),
            "credential": who.credential, "refused_from": ends,
        }  # fmt: skip


def inspect_token(
    token: str, ways: Sequence[tuple[str, Authenticator]], revoked: Callable[[Principal], bool]
) -> TokenReport:
    """Ask every way; the first that knows the token counts, as in a server."""
    answers: list[tuple[str, str]] = []
    found: Principal | None = None
    for name, authenticator in ways:
        answer = _TOO_LONG if len(token) > TOKEN_CHARS_MAX else _asked(authenticator, token)
        if isinstance(answer, Principal):
            found = found or answer
            answer = f"it is {answer.name}, but revoked" if revoked(answer) else f"it is {answer.name}"
        answers.append((name, answer))
    if not ways:
        answers.append(("auth", "these settings let nobody in"))
    return TokenReport(_said(token), tuple(answers), None if found is None or revoked(found) else found)


def _asked(authenticator: Authenticator, token: str) -> Principal | str:
    try:
        return (
            authenticator.verify(token) if isinstance(authenticator, JwtIssuer) else authenticator.authenticate(token)
        )
    except TokenRefusedError as error:
        return str(error)
    except ProofUnavailableError as error:
        cause = authenticator.fetched.cause if isinstance(authenticator, JwtIssuer) and authenticator.fetched else None
        return f"{error}: {cause}"
    except WireError:
        return _UNKNOWN


def _said(token: str) -> dict[str, Any] | None:
    if len(token) > TOKEN_CHARS_MAX or token.count(".") != 2:
        return None
    said: dict[str, Any] = {"now": int(time.time())}
    for name, read in (("header", read_header), ("claims", read_claims)):
        try:
            said[name] = read(token)
        except TokenRefusedError as error:
            said[name] = str(error)
    return said
