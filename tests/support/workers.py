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


def _words(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
