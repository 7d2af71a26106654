"""Docker workers beside what the contract asks of every runtime: a server that is not root."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.runtimes.folders import FIRST_UID, Folders
from orchestrator.runtimes.state_lock import only_server
from support.as_user import OTHER_USER, by_other_user, end, is_open_to_others, python_for_others, serving
from support.worker_client import WorkerClient

pytestmark = pytest.mark.docker

ENGINE = Path("/var/run/docker.sock")

SERVER = """
import asyncio, os, sys
from pathlib import Path
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.runtimes.folders import Folders

async def main(root, worker):
    folders = Folders(Path(root) / "workers")
    folders.prepare()
    runtime = DockerRuntime(folders, installation=worker)
    address = await runtime.start(SandboxSpec(worker=worker))
    (await runtime.dial(address)).close()
    print(os.getuid(), address.uid, address.address, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await runtime.stop(worker)
    print(await runtime.list_workers(), flush=True)
    await runtime.close()

asyncio.run(main(*sys.argv[1:]))
"""
"""A process that starts one worker, says as whom and where, and ends it when it is told to."""


async def test_a_server_does_not_end_the_workers_of_another_with_the_same_keys(state: Path) -> None:
    """They are one installation, each with a state folder of its own; when one is killed, its workers are anybody's."""
    first, second = (DockerRuntime(_folders(state / name), installation=state.name) for name in ("a", "b"))
    worker = SandboxSpec(worker=f"wrk_{secrets.token_hex(8)}")
    with only_server(state / "a"):
        await first.start(worker)
        assert list(await first.list_workers()) == [worker.worker]
        assert list(await second.list_workers()) == []
    assert list(await second.list_workers()) == [worker.worker]
    await first.stop(worker.worker)
    await asyncio.gather(first.close(), second.close())


def _folders(state: Path) -> Folders:
    made = Folders(state / "workers")
    made.prepare()
    return made


@pytest.fixture
async def state() -> AsyncIterator[Path]:
    """A state folder."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-dk-"))
    yield folder
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def test_a_normal_user_gives_each_worker_a_user_of_its_own(state: Path, require: Callable[[bool, str], None]) -> None:
    """The engine can run it as anybody: so not as the server, whose key to the engine would be in reach."""
    require(os.geteuid() == 0 and ENGINE.exists(), "only root can become another user, who may use the engine")
    python = python_for_others()
    require(python is not None and is_open_to_others(), "no Python, or not this checkout, that other users can reach")
    os.chown(state, OTHER_USER, OTHER_USER)
    worker = f"wrk_{secrets.token_hex(8)}"
    before = by_other_user(str(ENGINE.stat().st_gid))
    server = serving(SERVER, str(python), str(state), worker, before=before)
    try:
        own, given, address = server.stdout.readline().split()
        assert int(own) == OTHER_USER
        assert int(given) >= FIRST_UID
        with WorkerClient(address) as link:
            link.claim()
            assert link.eval("import os; os.getuid()").told["output"] == given
            tried = link.eval("open('/run/bascule/planted', 'w')").told["error"]
            assert tried["name"] == "PermissionError"
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "[]\n"
    finally:
        end(server)
