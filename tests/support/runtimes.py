"""Runtimes under test, each with folders of its own, and how a worker of each is killed."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.runtimes.bubblewrap import BubblewrapRuntime
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.runtimes.folders import Folders
from orchestrator.runtimes.scripted import ScriptedRuntime
from support.worker_client import WorkerClient

AnyRuntime = ScriptedRuntime | BubblewrapRuntime | DockerRuntime


def spec(**locks: object) -> SandboxSpec:
    """A worker with an id of its own."""
    return SandboxSpec(**{"worker": f"wrk_{secrets.token_hex(8)}", **locks})  # type: ignore[arg-type]


class Bench:
    """Makes runtimes of one kind over the same folders, as servers after each other do."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind = kind
        self.root = root
        self.folders = Folders(root / "workers")
        self.folders.prepare()
        self.installation = secrets.token_hex(4)
        self._made: list[AnyRuntime] = []

    def make(self, installation: str | None = None) -> AnyRuntime:
        """One more."""
        runtime: AnyRuntime
        if self.kind == "docker":
            runtime = DockerRuntime(self.folders, installation=installation or self.installation)
        elif self.kind == "bubblewrap":
            runtime = BubblewrapRuntime(self.folders)
        else:
            runtime = ScriptedRuntime(self.folders)
        self._made.append(runtime)
        return runtime

    async def end(self) -> None:
        """End every worker and let go."""
        for runtime in self._made:
            await runtime.close()
        last = self.make()
        for worker in await last.list_workers():
            await last.stop(worker)
        await last.close()


@asynccontextmanager
async def bench_of(kind: str) -> AsyncIterator[Bench]:
    """Folders that every uid can go through, and nothing left of them afterwards."""
    root = Path(tempfile.mkdtemp(prefix="bascule-runtime-"))
    root.chmod(0o755)
    bench = Bench(kind, root)
    try:
        yield bench
    finally:
        await bench.end()
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)


async def linked(runtime: AnyRuntime, address: WorkerAddress) -> WorkerClient:
    """A link, dialled as the server dials, in blocking mode."""
    sock = await runtime.dial(address)
    sock.setblocking(True)
    return WorkerClient(sock)
