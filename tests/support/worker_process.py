"""The real worker as a process without a sandbox: agent and interpreter, as they run in each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.worker_client import Outcome, WorkerClient

WORKER_IMAGE = Path(__file__).resolve().parents[2] / "worker-image"

ALONE = ("bwrap", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc", "--die-with-parent")


class WorkerProcess:
    """One worker, its working folder and links to it."""

    def __init__(self, folder: Path, *, is_alone: bool = False) -> None:
        """`is_alone`: it sees no process but its own, as in every sandbox."""
        self.work_folder = folder / "work"
        self.work_folder.mkdir()
        self._socket = folder / "worker.sock"
        words = ["-m", "replworker", "--socket", str(self._socket), "--work-folder", str(self.work_folder)]
        environment = {**os.environ, "PYTHONPATH": str(WORKER_IMAGE), "HOME": str(self.work_folder)}
        self.process = subprocess.Popen([*(ALONE if is_alone else ()), sys.executable, *words], env=environment)
        self._links: list[WorkerClient] = []

    def dial(self) -> WorkerClient:
        """One more link."""
        self._links.append(WorkerClient(str(self._socket)))
        return self._links[-1]

    def claimed(self, **how: Any) -> WorkerClient:
        """A link that has claimed the worker."""
        link = self.dial()
        said = link.claim(**how)
        assert "generation" in said, said
        return link

    @property
    def interpreter(self) -> int:
        """Process id of the half that runs code."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def end(self) -> None:
        """Hang up and end it."""
        for link in self._links:
            link.close()
        self.process.terminate()
        self.process.wait(10)


def error_of(outcome: Outcome) -> tuple[str, str]:
    """Name and message of an outcome's error."""
    error = outcome.told["error"]
    return error["name"], error["message"]
