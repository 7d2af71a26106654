"""Control groups of embedded workers, where this machine lets us make some: v1 or v2, below our own group.

Only a cgroup bounds all memory, processes and CPU time of a sandbox together; rlimits hold each process alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.core.sandbox import SandboxSpec

ROOT: Final = Path("/sys/fs/cgroup")
PARENT: Final = "bascule"
CONTROLLERS: Final = ("memory", "pids", "cpu")

CPU_PERIOD_US: Final = 100_000
LAUNCHER_PIDS: Final = 4
"""Processes of a sandbox that are not the tenant's: the launcher's, and the agent."""

ABANDONED_AFTER_S: Final = 600.0
"""Much longer than a start and an end take together."""

REMOVE_TIMEOUT_S: Final = 2.0
_POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Group:
    """The groups of one worker, one folder a controller (with v2 there is one for all)."""

    name: str
    folders: tuple[Path, ...]
    memory: Path | None
    """Where the kernel counts its kills."""

    def joining_files(self) -> list[str]:
        """Who writes `0` into each of these belongs to it."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def memory_kills(self) -> int:
        """How many processes the kernel killed for their use of memory."""
        if self.memory is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(self.memory / name).splitlines():
                key, _, count = line.partition(" ")
                if key == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> None:
        """End what is left in it, then delete it. Blocking, at most `REMOVE_TIMEOUT_S`."""
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        for folder in self.folders:
            while not _removed(folder) and time.monotonic() < deadline:
                for pid in _read(folder / "cgroup.procs").split():
                    _kill(int(pid))
                time.sleep(_POLL_S)


class Cgroups:
    """Where groups can be made, by controller; empty where none can. `scope` tells one server's groups from others'."""

    def __init__(self, scope: str, root: Path = ROOT) -> None:
        self._scope = scope
        self._is_v2 = (root / "cgroup.controllers").exists()
        self.parents = dict(_parents_v2(root) if self._is_v2 else _parents_v1(root))

    def make(self, worker: str, spec: SandboxSpec) -> Group | None:
        """A group with the limits of the spec; None where none can be made. Raises `OSError`."""
        if not self.parents:
            return None
        group = self._group(f"{self._scope}-{worker}")
        try:
            for folder in group.folders:
                folder.mkdir()
            for controller, parent in self.parents.items():
                for name, value in _limits(controller, spec, is_v2=self._is_v2):
                    _write(parent / group.name / name, value, must=not name.endswith(_OPTIONAL))
        except OSError:
            group.remove()
            raise
        return group

    def leftovers(self) -> Iterator[Group]:
        """Groups that an earlier server of this scope left."""
        found = {path.name for parent in self.parents.values() for path in parent.glob(f"{self._scope}-*")}
        yield from map(self._group, found)

    def remove_abandoned(self) -> None:
        """Delete empty groups of servers that were killed and whose state folder nobody uses any more.

        A group is empty when its worker starts or ends, too: so only those are taken that are older than that takes.
        """
        oldest = time.time() - ABANDONED_AFTER_S
        for parent in self.parents.values():
            for path in parent.glob("*-*"):
                with contextlib.suppress(OSError):  # it has processes, or somebody was faster
                    if path.stat().st_mtime < oldest:
                        path.rmdir()

    def _group(self, name: str) -> Group:
        folders = tuple(dict.fromkeys(parent / name for parent in self.parents.values()))
        return Group(name, folders, self.parents["memory"] / name if "memory" in self.parents else None)


def weakest_limits(cgroups: Cgroups | None = None) -> dict[str, str]:
    """What holds which limit of an embedded worker: `cgroup`, `rlimit` (each process alone) or `nothing`."""
    groups = (cgroups or Cgroups("")).parents
    weaker = {"memory": "rlimit", "pids": "rlimit", "cpu": "nothing"}
    return {name: "cgroup" if name in groups else other for name, other in weaker.items()}


_OPTIONAL: Final = ("memsw.limit_in_bytes", "swap.max")
"""Missing where the kernel does not count swap."""


def _limits(controller: str, spec: SandboxSpec, *, is_v2: bool) -> list[tuple[str, str]]:
    memory, pids = str(spec.memory_bytes), str(spec.pids_max + LAUNCHER_PIDS)
    quota = str(int(spec.cpus * CPU_PERIOD_US))
    if is_v2:
        return {
            "memory": [("memory.max", memory), ("memory.swap.max", "0")],
            "pids": [("pids.max", pids)],
            "cpu": [("cpu.max", f"{quota} {CPU_PERIOD_US}")],
        }[controller]
    return {
        "memory": [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)],
        "pids": [("pids.max", pids)],
        "cpu": [("cpu.cfs_period_us", str(CPU_PERIOD_US)), ("cpu.cfs_quota_us", quota)],
    }[controller]


def _parents_v1(root: Path) -> Iterator[tuple[str, Path]]:
    for controller in CONTROLLERS:
        own = _own_group(root / controller, controller)
        if own is not None and (parent := _made(own / PARENT)) is not None:
            yield controller, parent


def _parents_v2(root: Path) -> Iterator[tuple[str, Path]]:
    """Below the root of the hierarchy: a group that has processes of its own, as ours has, can't have limited ones."""
    parent = _made(root / PARENT)
    if parent is None:
        return
    for controller in CONTROLLERS:
        for switch in (root, parent):
            _write(switch / "cgroup.subtree_control", f"+{controller}", must=False)
        if controller in _read(parent / "cgroup.subtree_control").split():
            yield controller, parent


def _own_group(mount: Path, controller: str) -> Path | None:
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            # Inside a container the path may be the host's: then the mount's root is ours.
            own = mount / path.lstrip("/")
            return own if own.is_dir() else mount
    return None


def _made(folder: Path) -> Path | None:
    """The folder, if groups can be made in it."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _write(path: Path, value: str, *, must: bool) -> None:
    try:
        path.write_text(value)
    except OSError:
        if must:
            raise


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
