"""How programs, and the kernel, are asked about themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

PROBE_TIMEOUT_S: Final = 10.0


def said_by(*command: str) -> tuple[int, str]:
    """Exit status and text of a program; 127 when it can't be run or does not end in time."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, (done.stdout or done.stderr).decode("utf-8", "replace").strip()


def has_swap() -> bool:
    """Whether this machine can put memory on a disk (proc(5): a heading, then a line for each)."""
    return len(Path("/proc/swaps").read_text().splitlines()) > 1
