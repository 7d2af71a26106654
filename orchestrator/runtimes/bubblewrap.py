"""Workers in bubblewrap sandboxes: no daemon, no image, for laptops, tests and demos.

Started by root, each worker gets a host uid of its own, put on before `bwrap` runs, and control groups where the
machine gives some. Started by a normal user it runs as that user. Workers die with the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import WorkerFate
from orchestrator.runtimes.bubblewrap_ground import Ground, UnusableError, find_ground
from orchestrator.runtimes.bubblewrap_render import Places, command
from orchestrator.runtimes.cgroups import Cgroups, Group, weakest_limits
from orchestrator.runtimes.dialling import dial_unix, is_listening
from orchestrator.runtimes.folders import FolderError, Folders, wait_for_socket
from orchestrator.runtimes.greeting import greet
from replwire.errors import WireError

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
LAST_MOMENTS_S: Final = 0.5
"""A worker in which the kernel killed for memory has so long to end by itself before it counts as alive."""

SCOPE_CHARS: Final = 8
_POLL_S: Final = 0.005
COMPLAINT_BYTES_MAX: Final = 64 * 1024
"""Of what a failed start said; as much as a pipe holds."""

RETRY_AFTER_MS: Final = 2000

# As root: into the groups first, then another user for ever, then the sandbox.
_JOIN_AND_DROP: Final = 'for file in $1; do echo 0 > "$file" || exit 1; done; shift; unset PWD; exec "$@"'

_LAUNCH_ENVIRONMENT: Final[dict[str, str]] = {}
"""What `bwrap` itself is given. A tenant can read it in /proc/1/environ, and ours holds keys and passwords."""


@dataclass(slots=True)
class _Sandbox:
    process: subprocess.Popen[bytes]
    group: Group | None
    greeting: socket.socket
    """Our end, until it is up."""


class BubblewrapRuntime:
    """One `bwrap` a worker, all children of this process."""

    name = "bubblewrap"
    survives_server = False

    def __init__(self, folders: Folders, *, python: Path | None = None) -> None:
        self._folders = folders
        self._given_python = python
        self._cgroups = Cgroups(hashlib.sha256(str(folders.root).encode()).hexdigest()[:SCOPE_CHARS])
        self._ground: Ground | None = None
        self._getting_ready = threading.Lock()
        self._sandboxes: dict[str, _Sandbox] = {}

    async def check(self) -> None:
        """Find what sandboxes need; raises `UnusableError`."""
        await asyncio.to_thread(self._get_ready)

    def _get_ready(self) -> Ground:
        with self._getting_ready:
            if self._ground is None:
                for group in self._cgroups.leftovers():
                    group.remove()
                self._cgroups.remove_abandoned()
                self._ground = find_ground(self._folders.root.parent, self._given_python)
            return self._ground

    def limits_in_force(self) -> dict[str, str]:
        """See `cgroups.weakest_limits`."""
        return weakest_limits(self._cgroups)

    # --- the life of a worker -----------------------------------------------------------------------------------

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """See `ports.Runtime`. Nothing is left behind by a start that fails."""
        try:
            ground = await asyncio.to_thread(self._get_ready)
            folder, uid = self._folders.make(spec.worker)
        except (UnusableError, FolderError) as error:
            raise _no_start(str(error)) from None
        try:
            await self._run(spec, ground, folder, uid)
        except BaseException:
            await asyncio.shield(self.stop(spec.worker))
            raise
        return WorkerAddress(self.name, spec.worker, str(self._folders.socket(spec.worker)), uid)

    async def _run(self, spec: SandboxSpec, ground: Ground, folder: Path, uid: int) -> None:
        try:
            sandbox = self._launch(spec, ground, folder, uid)
        except OSError as error:
            raise _no_start(str(error)) from None
        self._sandboxes[spec.worker] = sandbox
        there = await _is_up(sandbox, self._folders.socket(spec.worker))
        complaint = _complaint(sandbox.process)
        if not there:
            raise _no_start(complaint or "the worker made no socket")
        self._folders.lock(spec.worker)

    def _launch(self, spec: SandboxSpec, ground: Ground, folder: Path, uid: int) -> _Sandbox:
        # From the event loop's thread: a sandbox dies with the thread that started it (prctl(2), PR_SET_PDEATHSIG).
        group = self._cgroups.make(spec.worker, spec)
        with contextlib.ExitStack() as files, contextlib.ExitStack() as undo:
            if group is not None:
                undo.callback(group.remove)
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            greeting = files.enter_context(theirs).fileno()
            seccomp = _fresh(ground.seccomp, files)
            places = Places(
                bwrap=ground.bwrap, python=ground.python.program, prefix=ground.python.prefix, code=ground.code,
                folder=folder, seccomp_fd=seccomp, greeting_fd=greeting, libraries=ground.python.libraries,
                options=ground.options,
            )  # fmt: skip
            words = command(spec, places, has_memory_group=group is not None and group.memory is not None)
            process = subprocess.Popen(
                _dropped(words, ground.setpriv, uid, group), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, pass_fds=(seccomp, greeting), cwd="/",
                start_new_session=True, env=_LAUNCH_ENVIRONMENT,
            )  # fmt: skip
            undo.pop_all()
        return _Sandbox(process, group, ours)

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """See `ports.Runtime`."""
        return dial_unix(Path(address.address), address.uid)

    async def stop(self, worker: str) -> None:
        """See `ports.Runtime`."""
        sandbox = self._sandboxes.pop(worker, None)
        if sandbox is not None:
            _kill(sandbox.process)
            await asyncio.to_thread(_end, sandbox)
        await asyncio.to_thread(self._folders.remove, worker)

    async def fate(self, worker: WorkerAddress) -> WorkerFate:
        """See `ports.Runtime`. A worker that is not ours is another server's, and has died with it or listens."""
        sandbox = self._sandboxes.get(worker.worker)
        if sandbox is None:
            return WorkerFate(alive=is_listening(worker))
        killed = sandbox.group is not None and sandbox.group.memory_kills() > 0
        deadline = time.monotonic() + (LAST_MOMENTS_S if killed else 0)
        while (status := sandbox.process.poll()) is None and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
        return WorkerFate(alive=status is None, exit_code=status, memory_killed=killed and status is not None)

    async def list_workers(self) -> Sequence[str]:
        """See `ports.Runtime`: ours, and the folders of those that died with an earlier server."""
        return sorted({*self._sandboxes, *self._folders.workers()})

    async def close(self) -> None:
        """End all workers: they can't outlive us."""
        await asyncio.gather(*(self.stop(worker) for worker in tuple(self._sandboxes)))


async def _is_up(sandbox: _Sandbox, path: Path) -> bool:
    """Whether the worker makes its socket in time; the name appears when connections are taken."""
    with sandbox.greeting:
        if not await greet(sandbox.greeting, within_s=START_TIMEOUT_S):
            return False
    return await wait_for_socket(path, within_s=START_TIMEOUT_S, is_alive=lambda: sandbox.process.poll() is None)


def _dropped(words: list[str], setpriv: str | None, uid: int, group: Group | None) -> list[str]:
    """The command as it is started: by root into its groups and as the worker's own user."""
    if setpriv is not None:
        words = [setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *words]
    if group is None:
        return words
    return ["/bin/sh", "-c", _JOIN_AND_DROP, "sh", " ".join(group.joining_files()), *words]


def _fresh(seccomp: int, files: contextlib.ExitStack) -> int:
    """The filter's file opened anew: bwrap reads it to its end."""
    handle = os.open(f"/proc/self/fd/{seccomp}", os.O_RDONLY)
    files.callback(os.close, handle)
    return handle


def _complaint(process: subprocess.Popen[bytes]) -> str:
    """What came on stderr so far; nobody listens to it any longer."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    said = process.stderr.read(COMPLAINT_BYTES_MAX) or b""
    process.stderr.close()
    return said.decode("utf-8", "replace").strip().rpartition("\n")[2]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the first process inside, if there is one yet: `bwrap` ends when that and so all others are gone."""
    if process.poll() is not None:
        return
    try:
        inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(inside[0]), signal.SIGKILL)
    except (OSError, IndexError):
        process.kill()


def _end(sandbox: _Sandbox) -> None:
    try:
        sandbox.process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        sandbox.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            sandbox.process.wait(STOP_TIMEOUT_S)
    if sandbox.process.stderr is not None:
        sandbox.process.stderr.close()
    if sandbox.group is not None:
        sandbox.group.remove()


def _no_start(reason: str) -> WireError:
    return WireError("capacity", f"a sandbox could not be started: {reason}", retry_after_ms=RETRY_AFTER_MS)
