"""Runtimes of each kind for tests, each bench with a state folder and installations of its own, and all ended after."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from orchestrator.core.sandbox import MIB, SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import Runtime, WorkerFate
from orchestrator.runtimes.folders import Folders
from orchestrator.runtimes.scripted import ScriptedRuntime
from replwire.frames import FrameReader
from support.worker_client import WorkerClient

AnyRuntime = Runtime

PATIENCE_S: Final = 15.0
"""For what a runtime or a kernel does in the background."""

_CREDENTIALS: Final = struct.Struct("3i")

MEMORY_BOMB: Final = "blocks = []\nwhile True: blocks.append(bytearray(b'x' * (4 << 20)))"


class Bench:
    """Runtimes of one kind: `scripted`, `docker` or `bubblewrap`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._token = secrets.token_hex(4)
        # Short, because a socket's address is; and open, because workers' uids go through it.
        self._base = Path(tempfile.mkdtemp(prefix="bascule-rt-"))
        self._base.chmod(0o755)
        self._made: list[Runtime] = []
        self._clients: list[WorkerClient] = []

    @property
    def folders(self) -> Folders:
        """Those of the installation that `make` makes runtimes of."""
        return self.folders_of("a")

    def folders_of(self, installation: str) -> Folders:
        """One root for all servers of an installation."""
        folders = Folders(self._base / installation / "workers")
        folders.prepare()
        return folders

    def make(self, *, installation: str = "a", broken: bool = False) -> Runtime:
        """Another server's runtime object. `broken`: no worker of it ever comes up."""
        made = self._new(installation, broken=broken)
        self._made.append(made)
        return made

    def _new(self, installation: str, *, broken: bool) -> Runtime:
        folders = self.folders_of(installation)
        if self.kind == "docker":
            from orchestrator.runtimes.docker import DockerRuntime

            name = f"test-{self._token}-{installation}"
            return DockerRuntime(folders, installation=name, host=None, engine_runtime="absent" if broken else None)
        if self.kind == "bubblewrap":
            from orchestrator.runtimes.bubblewrap import BubblewrapRuntime

            return BubblewrapRuntime(folders, python=Path("/absent/python3") if broken else None)
        if broken:
            return ScriptedRuntime(folders, command=lambda socket_path, work_folder: [sys.executable, "-c", "exit(3)"])
        return ScriptedRuntime(folders)

    def client(self, address: WorkerAddress) -> WorkerClient:
        """A front door of this worker, not yet claimed."""
        self._clients.append(WorkerClient(address.address))
        return self._clients[-1]

    async def kill_for_memory(self, runtime: Runtime, address: WorkerAddress) -> None:
        """Let the worker use more than it may; the twin, which has no limit, is told to say so."""
        if isinstance(runtime, ScriptedRuntime):
            runtime.fates[address.worker] = WorkerFate(alive=False, exit_code=137, memory_killed=True)
            return
        client = self.client(address)
        client.claim()
        client.request("eval", {"code": MEMORY_BOMB})
        await asyncio.to_thread(client.is_closed, PATIENCE_S)

    async def close(self) -> None:
        """End every worker, then every runtime."""
        for client in self._clients:
            client.close()
        if self._made and self._made[0].survives_server:
            self.make()  # the others may be closed, and what they started goes on
        for runtime in self._made:
            with contextlib.suppress(Exception):  # one that a test closed, or that can't answer
                await asyncio.gather(*map(runtime.stop, await runtime.list_workers()))
        for runtime in self._made:
            await runtime.close()
        await asyncio.to_thread(shutil.rmtree, self._base, ignore_errors=True)


@contextlib.asynccontextmanager
async def bench_of(kind: str) -> AsyncIterator[Bench]:
    """For fixtures; leaves nothing behind, neither when the test fails."""
    bench = Bench(kind)
    try:
        yield bench
    finally:
        await bench.close()


async def linked(runtime: Runtime, address: WorkerAddress) -> WorkerClient:
    """A front door of this worker, dialled by its runtime and not yet claimed."""
    return await asyncio.to_thread(WorkerClient, await runtime.dial(address))


def spec(**changes: Any) -> SandboxSpec:
    """A worker with the locks that workers have by default, and an id of its own."""
    return SandboxSpec(**{"worker": f"wrk_{secrets.token_hex(8)}", **changes})


def spec_of(**changes: Any) -> SandboxSpec:
    """A small worker with an id of its own."""
    defaults: dict[str, Any] = {"worker": f"wrk_{secrets.token_hex(8)}", "memory_bytes": 128 * MIB}
    return SandboxSpec(**{**defaults, **changes})


async def hello_over(sock: socket.socket) -> dict[str, Any]:
    """The HELLO that comes over a non-blocking socket, which is closed."""
    assert sock.gettimeout() == 0.0
    reader = FrameReader()
    with sock:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                reader.feed(await asyncio.get_running_loop().sock_recv(sock, 65536))
                for frame in reader:
                    return WorkerClient.json_of(frame)


def agent_pid(address: WorkerAddress) -> int:
    """The agent's, as this process sees it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(address.address)
        return int(_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0])


def is_process(pid: int) -> bool:
    """Whether it lives; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def eventually(
    holds: Callable[[], Awaitable[bool]] | Callable[[], bool], *, within_s: float = PATIENCE_S
) -> bool:
    """Whether it comes to hold in time."""
    deadline = time.monotonic() + within_s
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)


def is_root() -> bool:
    """Root gives each worker a uid of its own; another user has only its own to give."""
    return os.geteuid() == 0
