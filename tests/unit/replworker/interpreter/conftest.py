"""A worker for each test, and a link to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.worker_client import WorkerClient
from support.worker_process import WorkerProcess


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[Callable[[], WorkerProcess]]:
    """Workers, each with folders of its own."""
    made: list[WorkerProcess] = []

    def make() -> WorkerProcess:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(WorkerProcess(folder))
        return made[-1]

    yield make
    for worker in made:
        worker.end()


@pytest.fixture
def worker(make_worker: Callable[[], WorkerProcess]) -> WorkerProcess:
    """One that nobody has claimed."""
    return make_worker()


@pytest.fixture
def link(worker: WorkerProcess) -> WorkerClient:
    """A link that has claimed it."""
    return worker.claimed()
