"""Who is speaking, however they proved it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

SCOPES: Final = ("eval", "files", "observe", "admin")
"""What a principal may be allowed to do with a session, in the words of the protocol."""

TENANT: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}\Z"
"""A tenant's name; without a slash, so that `tenant/subject` can be read in one way only."""
SUBJECT: Final = r"^[A-Za-z0-9][A-Za-z0-9._@|:+/=-]{0,127}\Z"
"""A subject's name: also `auth0|123` and `system:serviceaccount:jobs:nightly`, as identity providers write them."""

_TENANT: Final = re.compile(TENANT)
_SUBJECT: Final = re.compile(SUBJECT)


@dataclass(frozen=True, slots=True)
class Principal:
    """Tenant, subject and scopes; `limits` may only be lower than the operator's."""

    tenant: str
    subject: str
    scopes: frozenset[str] = frozenset(SCOPES)
    limits: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    credential: str = ""
    """What was shown, by a name that is no secret: the id of an API key, the `jti` of a token."""
    authority: str = ""
    """Which of our own settings vouched for it: `dev`, `keys`, or a key of an issuer."""
    expires_at: float = math.inf
    """Unix seconds from which on it may not ask for anything any more, leeway included."""

    @property
    def name(self) -> str:
        """`tenant/subject`: what stamps, journals and logs hold."""
        return f"{self.tenant}/{self.subject}"


def is_tenant(value: object) -> bool:
    """Whether a value may be a tenant's name: it becomes part of log lines, keys and stamps."""
    return isinstance(value, str) and _TENANT.match(value) is not None


def is_subject(value: object) -> bool:
    """Whether a value may be a subject's name."""
    return isinstance(value, str) and _SUBJECT.match(value) is not None
