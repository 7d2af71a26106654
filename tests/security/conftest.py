"""A worker of each real runtime, claimed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.cells import Cell, claimed
from support.runtimes import Bench, bench_of

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
