"""What every runtime does, whatever it is made of: one suite for the twin, for Docker and for bubblewrap."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.session import WorkerAddress
from orchestrator.ports import Runtime, WorkerFate
from replwire.errors import WireError
from support.runtimes import Bench, agent_pid, bench_of, eventually, hello_over, is_process, spec_of

DOCKER = pytest.param("docker", marks=pytest.mark.docker)
BUBBLEWRAP = pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)
ISOLATING = pytest.mark.parametrize("bench", [DOCKER, BUBBLEWRAP], indirect=True)


@pytest.fixture(params=["scripted", DOCKER, BUBBLEWRAP])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Runtimes of one kind."""
    async with bench_of(request.param) as made:
        yield made


@pytest.fixture
def runtime(bench: Bench) -> Runtime:
    """The one that the test starts workers with."""
    return bench.make()


def folder_of(address: WorkerAddress) -> Path:
    """The worker's, on this host."""
    return Path(address.address).parent


async def refused(runtime: Runtime, address: WorkerAddress) -> None:
    """Dialling it is an `OSError`."""
    with pytest.raises(OSError):
        (await runtime.dial(address)).close()


# --- start and dial -----------------------------------------------------------------------------------------------


async def test_a_started_worker_says_hello(runtime: Runtime) -> None:
    """Its address has everything that another server needs to dial it."""
    spec = spec_of()
    address = await runtime.start(spec)
    assert (address.runtime, address.worker) == (runtime.name, spec.worker)
    hello = await hello_over(await runtime.dial(address))
    assert hello["python"].startswith("3.")


async def test_it_can_be_dialled_again_and_again(runtime: Runtime) -> None:
    """A link that was lost is made anew, and two may be there at once."""
    address = await runtime.start(spec_of())
    first, second = await runtime.dial(address), await runtime.dial(address)
    assert await hello_over(first) == await hello_over(second) == await hello_over(await runtime.dial(address))


async def test_workers_that_are_started_at_once_are_apart(runtime: Runtime) -> None:
    """Each has its own address and its own process."""
    addresses = await asyncio.gather(*(runtime.start(spec_of()) for _ in range(3)))
    assert len({address.address for address in addresses}) == 3
    assert len({agent_pid(address) for address in addresses}) == 3
    assert sorted(await runtime.list_workers()) == sorted(address.worker for address in addresses)


@ISOLATING
async def test_a_worker_does_not_see_its_neighbours_folder(bench: Bench) -> None:
    """Nor anything of the server's state folder: of the host's folders there is its own, with its socket."""
    runtime = bench.make()
    mine, other = await runtime.start(spec_of()), await runtime.start(spec_of())
    with bench.client(mine) as client:
        client.claim()
        code = f"import os; print(os.listdir('/run/bascule'), *map(os.path.exists, {[mine.address, other.address]}))"
        assert client.eval(code).stdout == b"['worker.sock'] False False\n"
    await hello_over(await runtime.dial(other))


# --- start fails --------------------------------------------------------------------------------------------------


async def test_an_impossible_start_is_capacity_and_leaves_nothing_behind(bench: Bench) -> None:
    """Clients wait and try again; the words are for whoever runs the server."""
    runtime = bench.make(broken=True)
    with pytest.raises(WireError) as caught:
        await runtime.start(spec_of())
    assert caught.value.code == "capacity"
    assert len(caught.value.message) > 20
    assert list(await runtime.list_workers()) == []
    assert bench.folders.workers() == []


@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.02, 0.06, 0.1, 0.15, 0.2, 0.3])
async def test_a_cancelled_start_leaves_nothing_behind(runtime: Runtime, bench: Bench, after_s: float) -> None:
    """Wherever it was: a server that ends while workers start leaves none that nobody knows."""
    starting = asyncio.create_task(runtime.start(spec_of()))
    await asyncio.sleep(after_s)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    else:
        await runtime.stop((await starting).worker)
    await asyncio.sleep(0.7)
    assert list(await runtime.list_workers()) == []
    assert bench.folders.workers() == []


# --- dial refuses -------------------------------------------------------------------------------------------------


async def test_a_link_in_place_of_the_socket_is_not_followed(runtime: Runtime) -> None:
    """Not even to a socket of the same owner: a tenant could lead the server into any socket of the host's."""
    address, other = await runtime.start(spec_of()), await runtime.start(spec_of())
    folder_of(address).chmod(0o700)
    Path(address.address).unlink()
    Path(address.address).symlink_to(other.address)
    await refused(runtime, address)
    await refused(runtime, replace(address, uid=-1))


async def test_a_file_in_place_of_the_socket_is_refused(runtime: Runtime) -> None:
    """Only sockets are dialled."""
    address = await runtime.start(spec_of())
    folder_of(address).chmod(0o700)
    Path(address.address).unlink()
    Path(address.address).touch()
    await refused(runtime, address)


async def test_a_socket_of_another_user_is_refused(runtime: Runtime) -> None:
    """The address says whose it has to be."""
    address = await runtime.start(spec_of())
    await refused(runtime, replace(address, uid=address.uid + 1))
    await hello_over(await runtime.dial(address))


async def test_a_socket_that_nobody_listens_on_is_an_os_error(runtime: Runtime) -> None:
    """As after the death of a worker."""
    address = await runtime.start(spec_of())
    folder_of(address).chmod(0o700)
    Path(address.address).unlink()
    with socket.socket(socket.AF_UNIX) as nobodys:
        nobodys.bind(address.address)
    await refused(runtime, replace(address, uid=os.geteuid()))


async def test_what_is_not_there_is_an_os_error(runtime: Runtime) -> None:
    """So callers need no other case."""
    address = await runtime.start(spec_of())
    await runtime.stop(address.worker)
    await refused(runtime, address)


# --- stop ---------------------------------------------------------------------------------------------------------


async def test_stop_ends_the_process_and_removes_the_folder_and_may_be_repeated(runtime: Runtime) -> None:
    """Ending what is not there is success."""
    address = await runtime.start(spec_of())
    pid = agent_pid(address)
    assert is_process(pid)
    await runtime.stop(address.worker)
    assert await eventually(lambda: not is_process(pid))
    assert not folder_of(address).exists()
    assert list(await runtime.list_workers()) == []
    await runtime.stop(address.worker)
    await runtime.stop("wrk_that_never_was")


async def test_stop_ends_what_the_tenant_started_too(bench: Bench) -> None:
    """The interpreter with it, whatever it is doing."""
    runtime = bench.make()
    address = await runtime.start(spec_of())
    client = bench.client(address)
    client.claim()
    client.request("eval", {"code": "while True: pass"})
    client.ping()
    await runtime.stop(address.worker)
    assert await asyncio.to_thread(client.is_closed)


async def test_stops_at_the_same_time_are_fine(runtime: Runtime) -> None:
    """Two servers may end the same worker."""
    address = await runtime.start(spec_of())
    await asyncio.gather(*(runtime.stop(address.worker) for _ in range(3)))
    assert (await runtime.fate(address)).alive is False


# --- fate ---------------------------------------------------------------------------------------------------------


async def test_the_fate_of_a_living_worker(runtime: Runtime) -> None:
    """Nothing but that it lives."""
    address = await runtime.start(spec_of())
    assert await runtime.fate(address) == WorkerFate(alive=True)


async def test_the_fate_of_a_killed_worker(runtime: Runtime) -> None:
    """It was not memory, and a status is known."""
    address = await runtime.start(spec_of())
    os.kill(agent_pid(address), signal.SIGKILL)
    assert await eventually(lambda: _is_dead(runtime, address))
    fate = await runtime.fate(address)
    assert not fate.memory_killed
    assert fate.exit_code not in (None, 0)


async def test_the_fate_of_a_worker_that_used_too_much_memory(bench: Bench) -> None:
    """It is told apart from other deaths as soon as the worker is dead, and the neighbour lives."""
    runtime = bench.make()
    address, neighbour = await runtime.start(spec_of()), await runtime.start(spec_of())
    await bench.kill_for_memory(runtime, address)
    assert await eventually(lambda: _is_dead(runtime, address))
    assert (await runtime.fate(address)).memory_killed
    assert await runtime.fate(neighbour) == WorkerFate(alive=True)


async def test_the_fate_of_a_worker_that_nobody_knows(runtime: Runtime) -> None:
    """It does not live, and how it ended is not known."""
    never = WorkerAddress(runtime.name, "wrk_that_never_was", "/nowhere/worker.sock", 0)
    assert await runtime.fate(never) == WorkerFate(alive=False)


async def _is_dead(runtime: Runtime, worker: WorkerAddress) -> bool:
    return (await runtime.fate(worker)).alive is False


# --- list and close -----------------------------------------------------------------------------------------------


async def test_the_list_has_ours_and_nobody_elses(bench: Bench) -> None:
    """Another installation on the same machine is not touched."""
    runtime, stranger = bench.make(), bench.make(installation="b")
    assert list(await runtime.list_workers()) == []
    address = await runtime.start(spec_of())
    assert list(await runtime.list_workers()) == [address.worker]
    assert list(await stranger.list_workers()) == []


async def test_a_dead_worker_is_listed_until_it_is_stopped(runtime: Runtime) -> None:
    """What is left of it has to be removed by somebody."""
    address = await runtime.start(spec_of())
    os.kill(agent_pid(address), signal.SIGKILL)
    assert await eventually(lambda: _is_dead(runtime, address))
    assert list(await runtime.list_workers()) == [address.worker]
    await runtime.stop(address.worker)
    assert list(await runtime.list_workers()) == []


async def test_a_folder_without_a_worker_is_listed_and_can_be_stopped(runtime: Runtime, bench: Bench) -> None:
    """As a server leaves it that is killed in the middle of a start."""
    bench.folders.make("wrk_half")
    assert list(await runtime.list_workers()) == ["wrk_half"]
    await runtime.stop("wrk_half")
    assert list(await runtime.list_workers()) == []


async def test_the_next_server_finds_what_outlived_the_last(bench: Bench) -> None:
    """It lists, knows, dials and ends it. Of a runtime whose workers can't outlive it, nothing is left."""
    first = bench.make()
    address = await first.start(spec_of())
    pid = agent_pid(address)
    await first.close()
    second = bench.make()
    if first.survives_server:
        assert list(await second.list_workers()) == [address.worker]
        assert await second.fate(address) == WorkerFate(alive=True)
        await hello_over(await second.dial(address))
        await second.stop(address.worker)
    assert await eventually(lambda: not is_process(pid))
    assert list(await second.list_workers()) == []
    assert (await second.fate(address)).alive is False


async def test_the_worker_of_another_server_lives_until_it_ends(bench: Bench) -> None:
    """Two servers serve one session: each knows of the other's worker whether it lives."""
    owner, other = bench.make(), bench.make()
    address = await owner.start(spec_of())
    assert await other.fate(address) == WorkerFate(alive=True)
    os.kill(agent_pid(address), signal.SIGKILL)
    assert await eventually(lambda: _is_dead(other, address))


async def test_close_may_be_repeated_and_leaves_no_threads(bench: Bench) -> None:
    """Also of a runtime that was never used."""
    before = set(threading.enumerate())
    used, unused = bench.make(), bench.make(installation="b")
    await used.stop((await used.start(spec_of())).worker)
    for runtime in (used, unused, used):
        await runtime.close()
    left = {thread.name for thread in set(threading.enumerate()) - before if not thread.name.startswith("asyncio_")}
    assert left == set()
