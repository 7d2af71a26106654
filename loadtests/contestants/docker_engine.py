"""The Docker engine by its command line: containers of ours, what they cost, and their end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from loadtests.contestants.contestant import Unavailable
from loadtests.processes import descendants, parent_of
from loadtests.services import output_of

IMAGE: Final = "bascule-worker:latest"
INSTALLATION_LABEL: Final = "bascule.installation"
"""On every container of every Bascule on this machine."""

LOCKS: Final = (
    "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--pids-limit", "64", "--memory", "256m", "--memory-swap", "256m", "--cpus", "1",
    "--user", "65534:65534", "--log-driver", "none",
)  # fmt: skip
"""The usual ones, for the containers that Bascule's are measured beside."""


async def check_docker() -> None:
    """Raises `Unavailable` unless an engine answers and has the worker image."""
    await output_of("docker", "image", "inspect", "--format", "{{.Id}}", IMAGE)


async def main_pids(containers: Sequence[str]) -> list[int]:
    """Process ids of the containers' first processes, as this machine counts them."""
    said = await output_of("docker", "inspect", "--format", "{{.State.Pid}}", *containers)
    return [int(line) for line in said.split()]


def inside(pids: Sequence[int]) -> set[int]:
    """All processes of the containers that begin with these."""
    return set(pids).union(*map(descendants, pids))


def shims(pids: Sequence[int]) -> set[int]:
    """The engine's processes that hold these containers."""
    return set(map(parent_of, pids))


async def remove(containers: Sequence[str]) -> None:
    """End them; one that is gone already is fine."""
    if containers:
        with contextlib.suppress(Unavailable):
            await output_of("docker", "rm", "--force", "--volumes", *containers)


async def containers_below(folder: Path) -> list[str]:
    """Ids of Bascule's containers that have something in this folder mounted."""
    ids = (await output_of("docker", "ps", "-aq", "--filter", f"label={INSTALLATION_LABEL}")).split()
    found = []
    for id_ in ids:
        # One at a time, because one that ends meanwhile spoils the answer for all.
        with contextlib.suppress(Unavailable):
            if f"{folder}/" in await output_of("docker", "inspect", "--format", "{{.HostConfig.Binds}}", id_):
                found.append(id_)
    return found


@asynccontextmanager
async def removed_at_the_end(containers: Sequence[str]) -> AsyncIterator[None]:
    """For containers of our own naming."""
    try:
        yield
    finally:
        await asyncio.shield(remove(containers))
