"""Who is speaking, however they proved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

SCOPES: Final = ("eval", "files", "observe", "admin")
"""What a principal may be allowed to do with a session, in the words of the protocol."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Tenant, subject and scopes; `limits` may only be lower than the operator's."""

    tenant: str
    subject: str
    scopes: frozenset[str] = frozenset(SCOPES)
    limits: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def name(self) -> str:
        """`tenant/subject`: what stamps, journals and logs hold."""
        return f"{self.tenant}/{self.subject}"
