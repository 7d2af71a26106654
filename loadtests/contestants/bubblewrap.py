"""The bubblewrap of this machine, and the Python that its sandboxes can run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from loadtests.contestants.contestant import Unavailable
from loadtests.services import output_of
from orchestrator.runtimes.bubblewrap_ground import PROBE, find_bwrap
from orchestrator.runtimes.python_choice import SYSTEM_ROOTS, NoPythonError, choose_python

PROGRAM_INSIDE: Final = "/program.py"


async def check_bubblewrap() -> None:
    """Raises `Unavailable` unless a sandbox can be made."""
    await output_of(_bwrap(), *PROBE)


def _bwrap() -> str:
    found = find_bwrap()
    if found is None:
        raise Unavailable("no bwrap found")
    return found


def bare_sandbox(program: Path, copies: Path) -> list[str]:
    """The command of a Python program in a plain sandbox: the same Python and the same namespaces as Bascule's."""
    try:
        python = choose_python(None, copies, other_uid=os.geteuid() == 0)
    except NoPythonError as error:
        raise Unavailable(str(error)) from None
    words = [_bwrap(), "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for root in SYSTEM_ROOTS:
        words += ["--ro-bind-try", str(root), str(root)]
    if python.prefix is not None:
        words += ["--ro-bind", str(python.prefix), str(python.prefix)]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", str(program), PROGRAM_INSIDE]
    return [*words, "--", str(python.program), "-I", "-S", "-E", PROGRAM_INSIDE]
