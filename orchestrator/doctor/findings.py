"""One thing that was looked at, and how programs are asked about themselves."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Final

PROBE_TIMEOUT_S: Final = 10.0


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
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    text = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
    return done.returncode, text.splitlines()[0] if text else ""
