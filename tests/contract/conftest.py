"""The adapters of each port that one suite runs on."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.memory import MemoryStore
from orchestrator.stores.redis import RedisStore
from support.redis_server import RedisServer, binaries

AnyStore = MemoryStore | RedisStore
MakeStore = Callable[..., AnyStore]
MakeServer = Callable[..., RedisServer]

SERVERS = binaries() or {"redis-server": ""}


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RedisServer]]:
    """One server of each kind for all tests that do not harm it."""
    running: dict[str, RedisServer] = {}

    def get(kind: str) -> RedisServer:
        if kind not in running:
            running[kind] = RedisServer(SERVERS[kind], tmp_path_factory.mktemp("redis"))
        return running[kind]

    yield get
    for server in running.values():
        server.kill()


WITH_BLOBS = "+blobs"
"""After a server's name: chunks of a few bytes and more are objects in a folder."""

OBJECT_BYTES_MIN = 5
ADAPTERS = [*SERVERS, next(iter(SERVERS)) + WITH_BLOBS]


@pytest.fixture(params=["memory", *(pytest.param(kind, marks=pytest.mark.redis) for kind in ADAPTERS)])
async def make_store(request: pytest.FixtureRequest, shared_servers: Any, tmp_path: Path) -> AsyncIterator[MakeStore]:
    """Stores of one adapter, all on the same data when it is a server."""
    made: list[AnyStore] = []
    kind = request.param.removesuffix(WITH_BLOBS)
    blobs = FolderBlobs(tmp_path / "blobs") if kind != request.param else None

    def make(**limits: Any) -> AnyStore:
        kept = StoreLimits(**limits)
        if kind == "memory":
            made.append(MemoryStore(limits=kept))
        else:
            url = shared_servers(kind).url
            made.append(RedisStore(url, limits=kept, blobs=blobs, object_bytes_min=OBJECT_BYTES_MIN))
        return made[-1]

    yield make
    for store in made:
        await store.close()
    if blobs is not None:
        await blobs.close()


@pytest.fixture
def store(make_store: MakeStore) -> AnyStore:
    """A store with the limits as they are by default."""
    return make_store()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Servers of the test's own, to be harmed."""
    made: list[RedisServer] = []

    def make(kind: str = next(iter(SERVERS)), **settings: str) -> RedisServer:
        folder = tmp_path / f"redis{len(made)}"
        folder.mkdir()
        made.append(RedisServer(SERVERS[kind], folder, **settings))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, make_server: MakeServer) -> RedisServer:
    """One server of each kind, to be harmed."""
    return make_server(request.param)
