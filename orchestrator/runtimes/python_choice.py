"""Which Python runs inside an embedded sandbox: one that the session's uid can reach.

A virtual environment is of no use there, and a Python below a home folder that only its owner may enter is of none for
another uid. So: the one that was set; else the base Python of this process; else the system's; else a copy.
"""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.runtimes.asking import said_by

OLDEST: Final = (3, 11)
SYSTEM: Final = Path("/usr/bin/python3")
SYSTEM_ROOTS: Final = (Path("/usr"), Path("/lib"), Path("/lib64"), Path("/bin"))
"""What a sandbox sees of the host, read-only."""

_ASK: Final = "import sys; print(*sys.version_info[:2], sys.base_prefix, sep='\\n')"
_NOT_COPIED: Final = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "*.a")


class NoPythonError(Exception):
    """No Python can run in a sandbox; the message says what helps."""


@dataclass(frozen=True, slots=True)
class PythonChoice:
    """The program, the folder it needs beside the system's (None: nothing), its version, and why it was taken."""

    program: Path
    prefix: Path | None
    version: tuple[int, int]
    why: str
    is_copy: bool = False

    @property
    def libraries(self) -> Path | None:
        """Where a copy's own libpython lies: the path in its program is that of the original, which is closed."""
        return self.prefix / "lib" if self.is_copy and self.prefix is not None else None

    @property
    def words(self) -> tuple[str, ...]:
        """How it is called outside a sandbox."""
        before = ("env", f"LD_LIBRARY_PATH={self.libraries}") if self.libraries is not None else ()
        return (*before, str(self.program))


def choose_python(given: Path | None, copies: Path, *, other_uid: bool, may_copy: bool = True) -> PythonChoice:
    """`other_uid`: workers run as users of their own. `copies`: where a copy is made if need be. `NoPythonError`."""
    if given is not None:
        return _usable(given, "it was set (bubblewrap.python)", copies, other_uid=other_uid)
    for program, why in ((Path(sys.base_prefix) / "bin" / _own_name(), "the server's own"), (SYSTEM, "the system's")):
        try:
            return _usable(program, why, copies, other_uid=other_uid)
        except NoPythonError:
            continue
    if not may_copy:
        return PythonChoice(Path(sys.executable), None, sys.version_info[:2], "a copy is made: no other can be reached")
    return _copied(copies)


def _own_name() -> str:
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"


def _usable(program: Path, why: str, copies: Path, *, other_uid: bool) -> PythonChoice:
    status, said = said_by(str(program), "-I", "-c", _ASK)
    words = said.split("\n")
    if status != 0 or len(words) != 3:
        raise NoPythonError(f"{program} can't be run: {said or 'no such program'}")
    version = int(words[0]), int(words[1])
    prefix = Path(words[2]).resolve()
    if version < OLDEST:
        raise NoPythonError(f"{program} is Python {version[0]}.{version[1]}; {OLDEST[0]}.{OLDEST[1]} is the least")
    if other_uid and (closed := first_closed(program.resolve(), prefix)) is not None:
        raise NoPythonError(f"{program} can't be reached by other users: {closed} is closed to them")
    if copies.resolve().is_relative_to(prefix):
        raise NoPythonError(
            f"{program} lies in {prefix}, and so does what the server keeps: workers would see all of it"
        )
    own = None if any(prefix.is_relative_to(root) for root in SYSTEM_ROOTS) else prefix
    return PythonChoice(program.resolve(), own, version, why)


def first_closed(*places: Path) -> Path | None:
    """What keeps other users from going to one of these places, itself included; None when nothing does."""
    ways = (step for place in places for step in (place, *place.parents))
    return next((step for step in ways if not step.stat().st_mode & stat.S_IXOTH), None)


def _copied(copies: Path) -> PythonChoice:
    version = sys.version_info[0], sys.version_info[1]
    target = copies / f"{version[0]}.{version[1]}.{sys.version_info[2]}"
    if not target.exists():
        try:
            _copy(Path(sys.base_prefix), target)
        except (OSError, shutil.Error) as error:
            raise NoPythonError(f"no Python that other users can reach, and none could be copied: {error}") from None
    why = "a copy: no other one can be reached"
    return PythonChoice(target / "bin" / _own_name(), target, version, why, is_copy=True)


def _copy(source: Path, target: Path) -> None:
    """All of it or nothing, readable by all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    try:
        shutil.copytree(source, unfinished, symlinks=True, ignore=_NOT_COPIED, dirs_exist_ok=True)
        open_to_all(target.parent, unfinished)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def open_to_all(*folders: Path) -> None:
    """Let every user read the last folder with all in it, and go through the ones before. Links are left alone."""
    for folder in folders:
        folder.chmod(0o755)
    for path in folders[-1].rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
