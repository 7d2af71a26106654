"""One thing that was looked at, and how programs are asked about themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.runtimes import asking


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it can be used, what was seen, and what helps when it can't."""

    name: str
    usable: bool
    words: str
    fix: str = ""
    facts: dict[str, object] = field(default_factory=dict)
    """The same for programs."""


def said_by(*command: str) -> tuple[int, str]:
    """Exit status and first line of a program; 127 when it can't be run or does not end in time."""
    status, text = asking.said_by(*command)
    return status, text.partition("\n")[0]
