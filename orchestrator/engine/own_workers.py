"""The runtime as the engine sees it, with the memory of what this process started and has not ended.

Whoever reaps must not take a worker that waits in our pool, or that is being restored and stands in no record yet.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import Runtime, WorkerFate


class OwnWorkers:
    """A `Runtime` around another one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._own: set[str] = set()
        self.on_end: Callable[[], None] = lambda: None
        """Called when one of ours has ended."""
        self._ending: set[str] = set()
        self.name = runtime.name
        self.survives_server = runtime.survives_server

    @property
    def own(self) -> frozenset[str]:
        """Started here, or on the way, and not ended."""
        return frozenset(self._own)

    @property
    def ending(self) -> int:
        """How many of them are about to be gone."""
        return len(self._ending)

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """See `Runtime`."""
        self._own.add(spec.worker)
        try:
            return await self._runtime.start(spec)
        except BaseException:
            self._own.discard(spec.worker)
            raise

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """See `Runtime`."""
        return await self._runtime.dial(address)

    async def stop(self, worker: str) -> None:
        """See `Runtime`."""
        is_ours = worker in self._own
        if is_ours:
            self._ending.add(worker)
        try:
            await self._runtime.stop(worker)
        finally:
            self._ending.discard(worker)
            self._own.discard(worker)
        if is_ours:
            self.on_end()

    async def fate(self, worker: WorkerAddress) -> WorkerFate:
        """See `Runtime`."""
        return await self._runtime.fate(worker)

    async def list_workers(self) -> Sequence[str]:
        """See `Runtime`."""
        return await self._runtime.list_workers()

    async def close(self) -> None:
        """See `Runtime`."""
        await self._runtime.close()
