"""Sandboxes beside what the contract asks of every runtime: who they run as, what they see, when they die."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.runtimes.bubblewrap import BubblewrapRuntime
from orchestrator.runtimes.bubblewrap_ground import UnusableError
from orchestrator.runtimes.folders import Folders
from replwire.errors import WireError
from support.as_user import OTHER_USER, PATIENCE_S, by_other_user, end, is_open_to_others, python_for_others, serving
from support.processes import leftovers
from support.worker_client import WorkerClient

pytestmark = pytest.mark.bubblewrap


SERVER = """
import asyncio, os, sys
from pathlib import Path
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.runtimes.bubblewrap import BubblewrapRuntime
from orchestrator.runtimes.folders import Folders

async def main(root, worker):
    folders = Folders(Path(root) / "workers")
    folders.prepare()
    runtime = BubblewrapRuntime(folders)
    address = await runtime.start(SandboxSpec(worker=worker))
    print(os.getuid(), address.uid, address.address, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await runtime.stop(worker)
    print(await runtime.list_workers(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
"""A process that starts one worker, says as whom and where, and ends it when it is told to."""


@pytest.fixture
async def state() -> AsyncIterator[Path]:
    """A state folder that every uid can go through."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-bw-"))
    folder.chmod(0o755)
    yield folder
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[BubblewrapRuntime]:
    """One over that folder."""
    folders = Folders(state / "workers")
    folders.prepare()
    made = BubblewrapRuntime(folders)
    yield made
    await made.close()


def spec() -> SandboxSpec:
    """A worker with an id of its own."""
    return SandboxSpec(worker=f"wrk_{secrets.token_hex(8)}")


async def claimed(runtime: BubblewrapRuntime) -> WorkerClient:
    """A link to a new worker."""
    sock = await runtime.dial(await runtime.start(spec()))
    sock.setblocking(True)
    link = WorkerClient(sock)
    link.claim()
    return link


def is_gone(worker: str) -> bool:
    """Whether nothing that names the worker runs any more, in time."""
    deadline = time.monotonic() + PATIENCE_S
    while leftovers(worker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_sandboxes_die_with_their_server(state: Path, number: signal.Signals) -> None:
    """However it dies; nothing of it is asked for help."""
    worker = spec().worker
    server = serving(SERVER, sys.executable, str(state), worker)
    try:
        assert server.stdout.readline()
        assert leftovers(worker)
    finally:
        end(server, number)
    assert is_gone(worker)


LAUNCHER = """
import asyncio, os, signal, sys
from orchestrator.runtimes import bubblewrap
from orchestrator.runtimes.bubblewrap import BubblewrapRuntime

class Killed(BubblewrapRuntime):
    def _launch(self, *arguments):
        super()._launch(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

bubblewrap.BubblewrapRuntime = Killed
"""
"""Before `SERVER`: it dies as soon as there is a process of the sandbox's, long before that is a sandbox."""


def test_a_sandbox_whose_server_dies_while_it_is_made_dies_too(state: Path) -> None:
    """The kernel ends it with its parent only from the moment on that it asked for that."""
    worker = spec().worker
    server = serving(LAUNCHER + SERVER, sys.executable, str(state), worker)
    try:
        assert server.stdout.readline() == ""
        assert server.wait(PATIENCE_S) == -signal.SIGKILL
    finally:
        end(server)
    assert is_gone(worker)


async def test_what_a_dead_server_left_can_be_removed(state: Path, runtime: BubblewrapRuntime) -> None:
    """Its folders, and its control groups when the next one looks what it has."""
    worker = spec().worker
    server = serving(SERVER, sys.executable, str(state), worker)
    try:
        assert server.stdout.readline()
    finally:
        end(server)
    await runtime.check()
    assert list(await runtime.list_workers()) == [worker]
    address = WorkerAddress(runtime.name, worker, str(state / "workers" / worker / "worker.sock"), 0)
    assert (await runtime.fate(address)).alive is False
    await runtime.stop(worker)
    assert list(await runtime.list_workers()) == []
    assert list(runtime._cgroups.leftovers()) == []


def test_a_normal_user_can_run_them(state: Path, require: Callable[[bool, str], None]) -> None:
    """As itself: the socket is its own, the worker answers, and nothing of it stays, not even its locked folder."""
    require(os.geteuid() == 0, "only root can become another user")
    python = python_for_others()
    require(python is not None, f"no Python {sys.version_info[:2]} that other users can reach")
    require(is_open_to_others(), "this checkout is closed to others")
    os.chown(state, OTHER_USER, OTHER_USER)
    worker = spec().worker
    server = serving(SERVER, str(python), str(state), worker, before=by_other_user())
    try:
        own, given, address = server.stdout.readline().split()
        assert (int(own), int(given)) == (OTHER_USER, OTHER_USER)
        with WorkerClient(address) as link:
            link.claim()
            assert link.eval("6 * 7").told["output"] == "42"
            assert link.eval("import os; os.getuid()").told["output"] == "65534"
        server.stdin.write("\n")
        server.stdin.flush()
        assert server.stdout.readline() == "[]\n"
    finally:
        end(server)
    assert is_gone(worker)


async def test_nothing_runs_any_more_when_stop_returns(runtime: BubblewrapRuntime) -> None:
    """Not a moment later; several times, because it is a race."""
    for _ in range(5):
        address = await runtime.start(spec())
        assert leftovers(address.worker)
        await runtime.stop(address.worker)
        assert leftovers(address.worker) == []
        assert list(runtime._cgroups.leftovers()) == []


async def test_the_servers_environment_stays_outside(
    runtime: BubblewrapRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds keys and passwords, and bwrap's own process can be read from inside."""
    monkeypatch.setenv("BASCULE_KEYS__SEAL", "a-key-of-the-servers")
    code = """
import glob
found = []
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        found.append(open(path).read())
    except OSError:
        pass
len(found) > 0, any('a-key-of-the-servers' in text or 'BASCULE' in text for text in found)
"""
    with await claimed(runtime) as link:
        assert link.eval(code).told["output"] == "(True, False)"


async def test_starts_that_run_out_of_descriptors_fail_and_leave_none(runtime: BubblewrapRuntime) -> None:
    """Wherever it happens: told by a code, and the next start, with one descriptor more, gets further."""
    await runtime.stop((await runtime.start(spec())).worker)
    before, (soft, hard) = len(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for allowed in range(before - 1, before + 20):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        try:
            address = await runtime.start(spec())
        except WireError as error:
            assert error.code == "capacity"
            refused += 1
        else:
            await runtime.stop(address.worker)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(os.listdir("/proc/self/fd")) == before
    assert 3 <= refused < 20
    assert list(await runtime.list_workers()) == []
    assert list(runtime._cgroups.leftovers()) == []


async def test_a_worker_that_cannot_start_says_why(runtime: BubblewrapRuntime) -> None:
    """The last line that came from it; nothing is left behind."""
    await runtime.check()
    assert runtime._ground is not None
    (runtime._ground.code / "replworker" / "__main__.py").write_text("raise RuntimeError('x' * 5000 + 'the reason')\n")
    shutil.rmtree(runtime._ground.code / "replworker" / "__pycache__")
    with pytest.raises(WireError, match="the reason") as caught:
        await runtime.start(spec())
    assert caught.value.code == "capacity"
    assert list(await runtime.list_workers()) == []
    assert list(runtime._cgroups.leftovers()) == []


async def test_a_folder_that_workers_cannot_reach_is_told_at_once(
    state: Path, runtime: BubblewrapRuntime, require: Callable[[bool, str], None]
) -> None:
    """When the server starts, not when the first session asks."""
    require(os.geteuid() == 0, "a server that is not root reaches what its workers reach")
    state.chmod(0o700)
    with pytest.raises(UnusableError, match=f"go through {state}: .*--state-dir"):
        await runtime.check()


async def test_no_bwrap_is_told(runtime: BubblewrapRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what helps."""
    monkeypatch.setattr("orchestrator.runtimes.bubblewrap_ground.find_bwrap", lambda: None)
    with pytest.raises(UnusableError, match="apt install bubblewrap"):
        await runtime.check()
    with pytest.raises(WireError, match="apt install bubblewrap"):
        await runtime.start(spec())


async def test_a_machine_without_a_filter_is_told(runtime: BubblewrapRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs with a lock less, and nobody the wiser."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UnusableError, match=r"no system call filter for riscv64.*--runtime docker"):
        await runtime.check()


async def test_root_tries_what_its_workers_will_do(
    state: Path, runtime: BubblewrapRuntime, monkeypatch: pytest.MonkeyPatch, require: Callable[[bool, str], None]
) -> None:
    """As a user without rights: where those may make no namespaces, root still could."""
    require(os.geteuid() == 0, "a server that is not root has no other user to try")
    program = state / "bwrap"
    program.write_text(
        "#!/bin/sh\n[ $(id -u) = 0 ] || { echo 'No permissions to create new namespace' >&2; exit 1; }\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{state}:/usr/bin:/bin")
    with pytest.raises(UnusableError, match="No permissions to create new namespace"):
        await runtime.check()


async def test_the_workers_code_is_placed_once(runtime: BubblewrapRuntime) -> None:
    """Compiled, readable by all, and taken again by the next server."""
    await runtime.check()
    assert runtime._ground is not None
    code = runtime._ground.code
    assert {"replwire", "replworker"} <= {path.name for path in code.iterdir()}
    assert list(code.glob("replworker/__pycache__/*.pyc"))
    assert all(path.stat().st_mode & stat.S_IROTH for path in code.rglob("*"))
    later = BubblewrapRuntime(runtime._folders)
    await later.check()
    assert later._ground is not None
    assert later._ground.code == code
    assert [path.name for path in code.parent.iterdir()] == [code.name]


async def test_a_copied_python_runs_workers(runtime: BubblewrapRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own library, though its program names a place that no sandbox sees."""
    monkeypatch.setattr("orchestrator.runtimes.python_choice.SYSTEM", Path("/absent/python3"))
    await runtime.check()
    assert runtime._ground is not None
    with await claimed(runtime) as link:
        shown = link.eval("import sys; sys.version, sys.prefix").told["output"]
    python = runtime._ground.python
    if python.is_copy:
        assert shown == repr((sys.version, str(python.prefix)))
    assert str(python.version[1]) in shown


def test_what_holds_the_limits_is_said(runtime: BubblewrapRuntime) -> None:
    """For the log and for doctor."""
    held = runtime.limits_in_force()
    assert held.keys() == {"memory", "pids", "cpu"}
    assert set(held.values()) <= {"cgroup", "rlimit", "nothing"}
