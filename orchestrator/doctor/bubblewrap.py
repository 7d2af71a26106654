"""The runtime `bubblewrap`: the program, whether it can make a sandbox here, and the Python that would run in it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from orchestrator.doctor.findings import Finding, said_by
from orchestrator.runtimes.bubblewrap_ground import NO_SETPRIV, complaint_of, find_bwrap
from orchestrator.runtimes.cgroups import weakest_limits
from orchestrator.runtimes.python_choice import NoPythonError, choose_python
from orchestrator.runtimes.seccomp_filter import MACHINES

NAME: Final = "runtime bubblewrap"

_GET_IT: Final = "`apt install bubblewrap`, or as a wheel: `pip install 'bascule[local]'`"


def bubblewrap(python: Path | None = None) -> Finding:
    """Version, a trial sandbox, the Python of workers with the reason for it, and what holds their limits."""
    if not sys.platform.startswith("linux"):
        return Finding(NAME, False, "bubblewrap is for Linux", "use --runtime docker")
    if platform.machine() not in MACHINES:
        return Finding(NAME, False, f"no system call filter for {platform.machine()}", "use --runtime docker")
    program = find_bwrap()
    if program is None:
        return Finding(NAME, False, "no bwrap found", _GET_IT)
    version = said_by(program, "--version")[1].removeprefix("bubblewrap ")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        what, _, fix = NO_SETPRIV.partition(": ")
        return Finding(NAME, False, what, fix)
    complaint = complaint_of(program)
    facts: dict[str, object] = {"program": program, "version": version}
    if complaint is not None:
        fix = "see `user namespaces` above; inside a container, the container must allow them"
        return Finding(NAME, False, f"{program} {version} can't make a sandbox: {complaint}", fix, facts)
    return _with_python(python, f"{program} {version}", facts)


def _with_python(python: Path | None, words: str, facts: dict[str, object]) -> Finding:
    is_root = os.geteuid() == 0
    try:
        with tempfile.TemporaryDirectory() as nowhere:
            chosen = choose_python(python, Path(nowhere), other_uid=is_root, may_copy=False)
    except NoPythonError as error:
        return Finding(NAME, False, f"{words}; {error}", "set another one: bubblewrap.python", facts)
    limits = weakest_limits()
    facts |= {"python": str(chosen.program), "python_why": chosen.why, "limits": limits, "uid_per_worker": is_root}
    words += f"; workers run {chosen.program} ({chosen.why})"
    words += ", each as a user of its own" if is_root else ", all as this user"
    words += f"; limits held by: {', '.join(f'{name} {holder}' for name, holder in limits.items())}"
    return Finding(NAME, True, words, "", facts)
