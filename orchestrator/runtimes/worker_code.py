"""The worker's code as embedded sandboxes see it: a copy that every uid can read, compiled by the Python that runs it.

The worker's image holds the same packages. They are found, never imported: no host code runs what a sandbox runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.runtimes.asking import said_by
from orchestrator.runtimes.python_choice import PythonChoice, open_to_all

PACKAGES: Final = ("replwire", "replworker")
EXTRA: Final = "cloudpickle"
"""Keeps tenants' classes that need it; copied when the worker's Python has none."""

COMPILE_TIMEOUT_S: Final = 60.0
_NOT_COPIED: Final = shutil.ignore_patterns("__pycache__")


class NoCodeError(Exception):
    """The worker's code can't be put in place; the message says why."""


def place_code(folder: Path, python: PythonChoice) -> Path:
    """The folder with the packages, made once for each content and Python. Raises `NoCodeError`."""
    sources = list(_sources(python))
    target = folder / _digest(sources, python)
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".", dir=folder))
    except OSError as error:
        raise _not_placed(folder, error) from None
    try:
        for source in sources:
            shutil.copytree(source, unfinished / source.name, ignore=_NOT_COPIED)
        _compile(unfinished, python)
        open_to_all(folder, unfinished)
        unfinished.rename(target)
    except (OSError, shutil.Error, subprocess.SubprocessError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if target.exists():
            return target
        raise _not_placed(folder, error) from None
    return target


def _not_placed(folder: Path, error: Exception) -> NoCodeError:
    return NoCodeError(f"the worker's code can't be put into {folder}: {error}")


def _sources(python: PythonChoice) -> Iterator[Path]:
    for name in PACKAGES:
        source = _found(name)
        if source is None:
            raise NoCodeError(f"the package {name} is missing from this installation")
        yield source
    if said_by(*python.words, "-I", "-c", f"import {EXTRA}")[0] != 0 and (extra := _found(EXTRA)) is not None:
        yield extra


def _found(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _digest(sources: list[Path], python: PythonChoice) -> str:
    digest = hashlib.sha256(f"{python.program} {python.version}".encode())
    for source in sources:
        for path in sorted(source.rglob("*.py")):
            digest.update(f"{source.name}/{path.relative_to(source)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(folder: Path, python: PythonChoice) -> None:
    """Roots are read-only in a sandbox: what is not compiled here would be compiled by every worker."""
    command = [
        *python.words,
        "-I",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        str(folder),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_TIMEOUT_S, stdin=subprocess.DEVNULL)
