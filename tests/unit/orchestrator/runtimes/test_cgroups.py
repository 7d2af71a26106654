"""Control groups of embedded workers: what is written where, in trees of both layouts made of plain folders."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.sandbox import MIB, SandboxSpec
from orchestrator.runtimes import cgroups
from orchestrator.runtimes.cgroups import Cgroups, weakest_limits

SPEC = SandboxSpec(worker="wrk_a", memory_bytes=300 * MIB, cpus=0.5, pids_max=50)
V2 = {"memory.max": str(300 * MIB), "memory.swap.max": "0", "pids.max": "54", "cpu.max": "50000 100000"}
V1 = {
    "memory/memory.limit_in_bytes": str(300 * MIB), "memory/memory.memsw.limit_in_bytes": str(300 * MIB),
    "pids/pids.max": "54", "cpu/cpu.cfs_period_us": "100000", "cpu/cpu.cfs_quota_us": "50000",
}  # fmt: skip


class Tree:
    """A hierarchy of version 2, whose kernel takes `+name` for the controllers that are offered."""

    def __init__(self, root: Path, offered: str) -> None:
        self.root = root
        self._offered = offered.split()
        (root / "cgroup.controllers").write_text(offered)

    def write(self, path: Path, value: str, *, must: bool) -> None:
        """In place of the kernel: what is switched on adds up, and nothing that is not offered can be."""
        if path.name != "cgroup.subtree_control":
            path.write_text(value)
        elif value.removeprefix("+") in self._offered:
            path.write_text(f"{path.read_text() if path.exists() else ''} {value.removeprefix('+')}")


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Cgroups]:
    """Makes groups in a tree that offers these controllers."""

    def make(offered: str) -> Cgroups:
        monkeypatch.setattr(cgroups, "_write", Tree(tmp_path, offered).write)
        return Cgroups("scope", tmp_path)

    return make


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cgroups:
    """Groups in a tree of version 1, ours being the root of each controller."""
    read = cgroups._read
    own = "3:memory:/\n2:pids:/\n1:cpu,cpuacct:/\n"
    monkeypatch.setattr(cgroups, "_read", lambda path: own if path == Path("/proc/self/cgroup") else read(path))
    for controller in cgroups.CONTROLLERS:
        (tmp_path / controller).mkdir()
    return Cgroups("scope", tmp_path)


def test_v2_has_one_group_with_every_limit(v2: Callable[[str], Cgroups], tmp_path: Path) -> None:
    """Below the hierarchy's root, because a group that has processes of its own can't have limited ones."""
    group = v2("cpuset cpu io memory pids").make("wrk_a", SPEC)
    assert group is not None
    folder = tmp_path / "bascule" / "scope-wrk_a"
    assert group.folders == (folder,)
    assert {path.name: path.read_text() for path in folder.iterdir()} == V2
    assert group.joining_files() == [str(folder / "cgroup.procs")]


def test_v2_says_which_limits_its_controllers_hold(v2: Callable[[str], Cgroups]) -> None:
    """Those that the kernel, or whoever delegated the tree, did not give are held otherwise."""
    groups = v2("cpu pids")
    assert weakest_limits(groups) == {"memory": "rlimit", "pids": "cgroup", "cpu": "cgroup"}
    group = groups.make("wrk_a", SPEC)
    assert group is not None
    assert group.memory is None
    assert group.memory_kills() == 0


def test_without_controllers_there_is_no_group(v2: Callable[[str], Cgroups]) -> None:
    """And nothing is claimed."""
    groups = v2("")
    assert groups.make("wrk_a", SPEC) is None
    assert weakest_limits(groups) == {"memory": "rlimit", "pids": "rlimit", "cpu": "nothing"}


def test_v1_has_a_group_for_each_controller(v1: Cgroups, tmp_path: Path) -> None:
    """Each below our own group of that controller."""
    group = v1.make("wrk_a", SPEC)
    assert group is not None
    files = [path for folder in group.folders for path in folder.iterdir()]
    assert {f"{path.parents[2].name}/{path.name}": path.read_text() for path in files} == V1
    assert len(group.joining_files()) == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
    ],
    ids=["v2", "v1"],
)
def test_kills_for_memory_are_counted(v1: Cgroups, name: str, text: str) -> None:
    """Not how often memory ran short: only deaths."""
    group = v1.make("wrk_a", SPEC)
    assert group is not None and group.memory is not None
    assert group.memory_kills() == 0
    (group.memory / name).write_text(text)
    assert group.memory_kills() == 1


def test_only_groups_of_this_scope_are_leftovers(v1: Cgroups, tmp_path: Path) -> None:
    """Another server's workers are alive."""
    v1.make("wrk_a", SPEC)
    (tmp_path / "pids" / "bascule" / "other-wrk_b").mkdir()
    assert [group.name for group in v1.leftovers()] == ["scope-wrk_a"]


def test_abandoned_groups_of_anybody_are_removed(v1: Cgroups, tmp_path: Path) -> None:
    """Those that are old and empty; a plain folder with a file stands for one with a process."""
    parent = tmp_path / "pids" / "bascule"
    for name in ("old-wrk_a", "busy-wrk_b", "new-wrk_c"):
        (parent / name).mkdir()
    (parent / "busy-wrk_b" / "file").touch()
    for name in ("old-wrk_a", "busy-wrk_b"):
        os.utime(parent / name, (0, 0))
    v1.remove_abandoned()
    assert sorted(path.name for path in parent.iterdir()) == ["busy-wrk_b", "new-wrk_c"]


def test_removing_ends_what_is_left_inside(v1: Cgroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that no sandbox's end took along."""
    group = v1.make("wrk_a", SPEC)
    assert group is not None
    with subprocess.Popen(["sleep", "60"]) as left:
        for folder in group.folders:
            for path in folder.iterdir():
                path.unlink()
        (group.folders[0] / "cgroup.procs").write_text(f"{left.pid}\n")
        monkeypatch.setattr(cgroups, "_kill", lambda pid: _end(left, pid, group.folders[0]))
        group.remove()
        assert left.returncode is not None
    assert [folder for folder in group.folders if folder.exists()] == []


def _end(left: subprocess.Popen[bytes], pid: int, folder: Path) -> None:
    """As the kernel does: with the process its line goes."""
    assert pid == left.pid
    left.kill()
    left.wait()
    (folder / "cgroup.procs").unlink()
