"""Finds the worker of a session from outside, to kill it as a stranger would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from support.server import Server


def worker_of(server: Server, session: str) -> str:
    """Id of the worker that the session was given last, as the server's log has it."""
    lines = (json.loads(line) for line in server.log().splitlines() if line.startswith("{"))
    claimed = [
        line["worker"] for line in lines if line.get("event") == "worker claimed" and line["session_id"] == session
    ]
    worker: str = claimed[-1]
    return worker


def kill_container(worker: str) -> None:
    """-9 to a container."""
    subprocess.run(["docker", "kill", "--signal", "KILL", worker], check=True, capture_output=True, timeout=30)


def kill_sandbox(worker: str) -> None:
    """-9 to every process of a bubblewrap sandbox that its folder's name gives away."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and worker in _words(folder):
            try:
                os.kill(int(folder.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def processes_of(worker: str, runtime: str) -> list[Path]:
    """The worker's agent, interpreter and what they have forked, the oldest first; runs of our own Python only."""
    namespace = _namespace(_in_container(worker) if runtime == "docker" else _in_sandbox(worker))
    found = [folder for folder in Path("/proc").glob("[0-9]*") if _is_python(folder)]
    found = [folder for folder in found if _namespace(folder) == namespace]
    return sorted(found, key=lambda folder: int(folder.name))


def kill_interpreter(worker: str, runtime: str) -> bool:
    """-9 to the process that runs code, and to nothing else; False when it was not found."""
    for folder in processes_of(worker, runtime)[1:]:
        # It leads a session, as shadows do; those have no pipe to write to.
        if os.getsid(int(folder.name)) == int(folder.name) and os.readlink(folder / "fd/1").startswith("pipe:"):
            os.kill(int(folder.name), signal.SIGKILL)
            return True
    return False


def _in_container(worker: str) -> Path:
    words = ["docker", "inspect", "--format", "{{.State.Pid}}", worker]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=30)
    return Path("/proc") / done.stdout.strip()


def _in_sandbox(worker: str) -> Path:
    """The one of bubblewrap's two processes that is the first of the sandbox. Raises `ProcessLookupError`."""
    own = _namespace(Path("/proc/self"))
    for folder in Path("/proc").glob("[0-9]*"):
        if worker in _words(folder) and _namespace(folder) not in (own, ""):
            return folder
    raise ProcessLookupError(worker)


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns/pid")
    except OSError:
        return ""


def _is_python(process: Path) -> bool:
    name, _, rest = _words(process).partition(" ")
    return Path(name).name.startswith("python") and "replworker" in rest


def _words(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
