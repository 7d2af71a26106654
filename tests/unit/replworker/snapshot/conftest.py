"""A stage on which sessions are played in fresh processes, on this Python and on others that are installed."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replworker.snapshot import ambient
from unit.replworker.snapshot.staging import Stage


@pytest.fixture(autouse=True)
def fresh_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as it is now counts as new, whatever the tests before drew from its generators."""
    monkeypatch.setattr(ambient, "_baseline", [])


def _other_python() -> str | None:
    """Another supported Python, newest first, if one is on the path and can run."""
    names = ("python3.13", "python3.12", "python3.11")
    for name in names:
        if name == f"python3.{sys.version_info[1]}" or not (found := shutil.which(name)):
            continue
        if subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.1[123].*/bin/python3"), reverse=True)
    return next((str(path) for path in pyenv if f"/3.{sys.version_info[1]}." not in str(path)), None)


@pytest.fixture(scope="session")
def own_stage() -> Iterator[Stage]:
    """The stage of the Python that runs the tests: numpy and pandas are there."""
    stage = Stage(sys.executable)
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def other_stage() -> Iterator[Stage]:
    """The stage of another Python."""
    stage = Stage(_other_python() or "")
    yield stage
    stage.close()


@pytest.fixture(params=["own", "other"] if _other_python() else ["own"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """The stage of each Python in turn."""
    found: Stage = request.getfixturevalue(f"{request.param}_stage")
    return found
