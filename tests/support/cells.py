"""A claimed worker as an attacker has it, and what he can show."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.session import WorkerAddress
from support.runtimes import AnyRuntime, Bench, linked, spec
from support.worker_client import WorkerClient


@dataclass
class Cell:
    """One claimed worker."""

    bench: Bench
    runtime: AnyRuntime
    address: WorkerAddress
    link: WorkerClient

    def shows(self, code: str) -> str | None:
        """The value of an eval; an error's name and message when it failed."""
        told = self.link.eval(code, wait_s=30).told
        return told["output"] if told["error"] is None else f"{told['error']['name']}: {told['error']['message']}"

    async def neighbour(self) -> Cell:
        """Another session's worker beside it."""
        return await claimed(self.bench, self.runtime)


async def claimed(bench: Bench, runtime: AnyRuntime, **locks: object) -> Cell:
    """Start one and claim it."""
    address = await runtime.start(spec(**locks))
    link = await linked(runtime, address)
    link.claim()
    return Cell(bench, runtime, address, link)
