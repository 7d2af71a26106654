"""Every runtime: workers that can be dialled, told apart, ended, and found again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from orchestrator.ports import WorkerFate
from replwire.errors import WireError
from support.processes import leftovers
from support.runtimes import AnyRuntime, Bench, bench_of, linked, spec
from support.workers import kill_container, kill_sandbox

KINDS = [
    "scripted",
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param("docker", marks=pytest.mark.docker),
]


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Runtimes of one kind."""
    async with bench_of(request.param) as made:
        yield made


@pytest.fixture
def runtime(bench: Bench) -> AnyRuntime:
    """One of them."""
    return bench.make()


async def fate_of(runtime: AnyRuntime, worker: str) -> WorkerFate:
    """What is told of a worker that was killed a moment ago."""
    for _ in range(500):
        fate = await runtime.fate(worker)
        if not fate.alive:
            break
        await asyncio.sleep(0.01)
    return fate


def kill(bench: Bench, worker: str) -> None:
    """-9, from outside."""
    kill_container(worker) if bench.kind == "docker" else kill_sandbox(worker)


async def test_a_worker_can_be_dialled_and_claimed(runtime):
    """The socket is there when `start` returns; the address names runtime and worker."""
    wanted = spec()
    address = await runtime.start(wanted)
    assert (address.runtime, address.worker) == (runtime.name, wanted.worker)
    with await linked(runtime, address) as link:
        assert link.hello["state"] == "ready"
        assert link.claim()["generation"] == 1
        assert link.eval("6 * 7").told["output"] == "42"
    assert await runtime.fate(wanted.worker) == WorkerFate(alive=True)


async def test_it_can_be_dialled_more_than_once(runtime):
    """Several front doors may be linked to one worker."""
    address = await runtime.start(spec())
    with await linked(runtime, address) as one, await linked(runtime, address) as other:
        assert one.claim()["seq"] == 0
        assert other.attach()["seq"] == 0


async def test_workers_at_once_are_apart(runtime):
    """Each has its own socket and folder; ending one leaves the other."""
    one, other = await asyncio.gather(runtime.start(spec()), runtime.start(spec()))
    assert one.address != other.address
    if os.geteuid() == 0 and runtime.name != "scripted":
        assert one.uid != other.uid
        assert one.uid >= 100_000 <= other.uid
    await runtime.stop(one.worker)
    assert (await runtime.fate(other.worker)).alive is True


async def test_stop_removes_everything_and_may_be_repeated(bench, runtime):
    """Folder, entry in the list, and the second time nothing to do."""
    address = await runtime.start(spec())
    assert address.worker in await runtime.list_workers()
    for _ in range(2):
        await runtime.stop(address.worker)
    assert address.worker not in await runtime.list_workers()
    assert (await runtime.fate(address.worker)).alive is False
    assert bench.folders.workers() == []
    with pytest.raises(OSError):
        await runtime.dial(address)


async def test_a_killed_worker_is_told_dead(bench, runtime):
    """And by its exit status not by memory."""
    address = await runtime.start(spec())
    kill(bench, address.worker)
    fate = await fate_of(runtime, address.worker)
    assert (fate.alive, fate.memory_killed) == (False, False)
    assert fate.exit_code not in (None, 0)


async def test_nobody_knows_a_worker_that_never_was(runtime):
    """It is dead, and ending it is success."""
    assert (await runtime.fate("wrk_never")).alive is False
    await runtime.stop("wrk_never")


async def test_a_start_that_cannot_be_leaves_nothing_behind(bench, runtime, monkeypatch):
    """`capacity`, with words, and no folder, process or container."""
    impossible = spec(image="there-is-no-such-image", memory_bytes=1)
    if bench.kind == "scripted":
        runtime = type(runtime)(bench.folders, lambda spec, folder: ["false"])
    with pytest.raises(WireError) as caught:
        await runtime.start(impossible)
    assert caught.value.code == "capacity"
    assert len(caught.value.message) > 20
    assert await runtime.list_workers() == []


async def test_a_cancelled_start_leaves_nothing_behind(runtime):
    """A session that gives up waiting costs no worker."""
    task = asyncio.create_task(runtime.start(spec()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(200):
        if await runtime.list_workers() == []:
            break
        await asyncio.sleep(0.02)
    assert await runtime.list_workers() == []


async def test_a_later_server_finds_the_workers(bench, runtime):
    """Those that live can be dialled; those that died with their server can be removed."""
    address = await runtime.start(spec())
    later = bench.make()
    assert list(await later.list_workers()) == [address.worker]
    if runtime.survives_server:
        assert (await later.fate(address.worker)).alive is True
        with await linked(later, address) as link:
            assert link.hello["state"] == "ready"
    else:
        assert (await later.fate(address.worker)).alive is False


async def test_a_planted_link_is_not_followed(bench, runtime, tmp_path):
    """Nor a file, nor the socket of another worker of another user."""
    address, other = await runtime.start(spec()), await runtime.start(spec())
    socket_path = bench.folders.socket(address.worker)
    os.rename(socket_path, socket_path.with_suffix(".away"))
    os.symlink(bench.folders.socket(other.worker), socket_path)
    with pytest.raises(OSError):
        await runtime.dial(address)
    socket_path.unlink()
    socket_path.write_text("no socket")
    with pytest.raises(OSError):
        await runtime.dial(address)
    if address.uid != other.uid:
        socket_path.unlink()
        os.link(bench.folders.socket(other.worker), socket_path)
        with pytest.raises(PermissionError):
            await runtime.dial(address)


async def test_close_ends_what_cannot_outlive_it(bench, runtime):
    """And nothing else."""
    address = await runtime.start(spec())
    await runtime.close()
    later = bench.make()
    assert (await later.fate(address.worker)).alive is runtime.survives_server


@pytest.mark.docker
async def test_containers_of_another_installation_are_not_ours():
    """Two servers on one engine do not reap each other's workers."""
    async with bench_of("docker") as one, bench_of("docker") as other:
        ours, theirs = one.make(), other.make()
        address = await theirs.start(spec())
        assert await ours.list_workers() == []
        assert list(await theirs.list_workers()) == [address.worker]


@pytest.mark.bubblewrap
async def test_sandboxes_die_with_their_server(tmp_path):
    """Killed with -9, as the kernel would."""
    code = """
import asyncio, sys
from support.processes import leftovers
from support.runtimes import Bench, spec
from pathlib import Path
async def main():
    bench = Bench("bubblewrap", Path(sys.argv[1]))
    address = await bench.make().start(spec())
    print(address.worker, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    async with bench_of("bubblewrap") as bench:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(bench.root), stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        worker = (await server.stdout.readline()).decode().strip()
        assert processes_with(worker)
        server.send_signal(signal.SIGKILL)
        await server.wait()
        for _ in range(200):
            if not processes_with(worker):
                break
            await asyncio.sleep(0.02)
        assert processes_with(worker) == []


def processes_with(worker: str) -> list[str]:
    """Command lines that name the worker."""
    return leftovers(worker)
