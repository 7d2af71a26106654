"""Small servers as processes of their own, by this user or by a normal one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from orchestrator.runtimes.python_choice import SYSTEM, first_closed

REPOSITORY: Final = Path(__file__).resolve().parents[2]
OTHER_USER: Final = 12345
PATIENCE_S: Final = 20.0


def by_other_user(groups: str = "") -> tuple[str, ...]:
    """The words before a command that let root run it as `OTHER_USER`, in these groups too."""
    others = f"--groups={groups}" if groups else "--clear-groups"
    return ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", others, "--")


def python_for_others() -> Path | None:
    """A Python that other users can run, of the version that compiled modules here are made for."""
    return next((path for path in (Path(sys.executable).resolve(), SYSTEM) if _suits(path)), None)


def _suits(python: Path) -> bool:
    if not python.exists() or first_closed(python.resolve()) is not None:
        return False
    ask = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True)
    return said.stdout.split() == [str(part) for part in sys.version_info[:2]]


def is_open_to_others() -> bool:
    """Whether they can read this checkout and what it depends on."""
    return first_closed(REPOSITORY, Path(sysconfig.get_path("purelib"))) is None


def serving(program: str, python: str, *words: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A program by this Python; it says when it is ready on stdout and ends when stdin does."""
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "worker-image", sysconfig.get_path("purelib"))))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    command = [*before, python, "-c", program, *words]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")


def end(server: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    """Send it a signal and wait."""
    server.send_signal(number)
    server.wait(PATIENCE_S)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.close()
    server.stdout.close()
