"""The twin for tests: workers as plain processes, without any sandbox, that end as a test wants them to.

Never for tenants' code. It passes the same contract suite as the runtimes that isolate.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import WorkerFate
from orchestrator.runtimes.dialling import dial_unix, is_listening
from orchestrator.runtimes.folders import FolderError, Folders, wait_for_socket
from replwire.errors import WireError

START_TIMEOUT_S: Final = 10.0

Command = Callable[[SandboxSpec, Path], Sequence[str]]
"""Takes the spec and the worker's folder; gives the words that start it."""


def real_worker(spec: SandboxSpec, folder: Path) -> Sequence[str]:
    """The worker as it runs in each sandbox, with its working folder beside its socket."""
    work_folder = folder / "work"
    work_folder.mkdir()
    words = ("-m", "replworker", "--socket", str(folder / "worker.sock"), "--work-folder", str(work_folder))
    return (sys.executable, *words)


class ScriptedRuntime:
    """Starts what `command` says; `fates` overrides what is told of a worker."""

    name = "scripted"
    survives_server = False

    def __init__(self, folders: Folders, command: Command = real_worker) -> None:
        self._folders = folders
        self._command = command
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.fates: dict[str, WorkerFate] = {}

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """See `ports.Runtime`."""
        try:
            process = self._processes[spec.worker] = self._launch(spec)
        except (FolderError, OSError) as error:
            self._folders.remove(spec.worker)
            raise WireError("capacity", str(error)) from None
        path = self._folders.socket(spec.worker)
        try:
            there = await wait_for_socket(path, within_s=START_TIMEOUT_S, is_alive=lambda: process.poll() is None)
        except BaseException:
            await asyncio.shield(self.stop(spec.worker))
            raise
        if not there:
            await self.stop(spec.worker)
            raise WireError("capacity", "the scripted worker made no socket")
        return WorkerAddress(self.name, spec.worker, str(path), path.lstat().st_uid)

    def _launch(self, spec: SandboxSpec) -> subprocess.Popen[bytes]:
        folder, _ = self._folders.make(spec.worker)
        return subprocess.Popen(self._command(spec, folder), stdin=subprocess.DEVNULL)

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """See `ports.Runtime`."""
        return dial_unix(Path(address.address), address.uid)

    async def stop(self, worker: str) -> None:
        """See `ports.Runtime`."""
        process = self._processes.pop(worker, None)
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
        self._folders.remove(worker)

    async def fate(self, worker: WorkerAddress) -> WorkerFate:
        """See `ports.Runtime`."""
        if worker.worker in self.fates:
            return self.fates[worker.worker]
        process = self._processes.get(worker.worker)
        if process is None:
            return WorkerFate(alive=is_listening(worker))
        status = process.poll()
        return WorkerFate(alive=status is None, exit_code=status)

    async def list_workers(self) -> Sequence[str]:
        """See `ports.Runtime`."""
        return sorted({*self._processes, *self._folders.workers()})

    async def close(self) -> None:
        """End all workers."""
        await asyncio.gather(*(self.stop(worker) for worker in tuple(self._processes)))
