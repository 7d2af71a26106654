"""A worker of each real runtime, claimed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.cells import Cell, claimed
from support.runtimes import Bench, bench_of
from support.server import Server

RATES = ("requests_per_s_max", "request_burst_max", "auth_failures_max")
KINDS = [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap), pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Runtimes that isolate."""
    async with bench_of(request.param) as made:
        yield made


@pytest.fixture
async def cell(bench: Bench) -> Cell:
    """A worker with the locks that workers have by default."""
    return await claimed(bench, bench.make())


@pytest.fixture
async def freely_asked(state: Path) -> AsyncIterator[Server]:
    """An embedded server that lets one client ask as often as it likes: for tests of what is said, not of how often."""
    rates = [word for name in RATES for word in ("--set", f"server.{name}=100000")]
    server = Server(state / "state", "--embedded", *rates)
    await server.start()
    yield server
    await server.stop()
