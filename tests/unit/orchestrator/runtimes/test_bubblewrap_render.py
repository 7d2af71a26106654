"""What bwrap is asked for: every lock by its word, with nothing that opens one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.sandbox import MIB, SandboxSpec
from orchestrator.runtimes.bubblewrap_render import ENVIRONMENT, Places, command

SPEC = SandboxSpec(
    worker="wrk_a", memory_bytes=300 * MIB, pids_max=50, open_files_max=200, file_bytes_max=7 * MIB,
    work_folder_bytes=20 * MIB, scratch_bytes=3 * MIB,
)  # fmt: skip
PLACES = Places(
    bwrap="/usr/bin/bwrap", python=Path("/usr/bin/python3"), prefix=None, code=Path("/state/code/abc"),
    folder=Path("/state/workers/wrk_a"), seccomp_fd=7, greeting_fd=8, options=frozenset({"--disable-userns"}),
)  # fmt: skip

LOCKS = (
    ["--unshare-all"], ["--unshare-user"], ["--disable-userns"], ["--die-with-parent"], ["--new-session"],
    ["--cap-drop", "ALL"], ["--clearenv"], ["--uid", "65534"], ["--gid", "65534"], ["--hostname", "worker"],
    ["--remount-ro", "/dev"], ["--remount-ro", "/"], ["--seccomp", "7"], ["--chdir", "/work"],
)  # fmt: skip

OPENINGS = (
    "--share-net", "--cap-add", "--dev-bind", "--dev-bind-try", "--bind-try", "--overlay-src", "--as-pid-1",
    "--keep-fd", "--userns", "--userns2", "--pidns", "--sync-fd",
)  # fmt: skip
"""Words that would give something away."""


def words(*, has_memory_group: bool = True, **changes: Any) -> list[str]:
    """The command for the places with these changes."""
    return command(SPEC, replace(PLACES, **changes), has_memory_group=has_memory_group)


def options(**changes: Any) -> list[str]:
    """Those of `bwrap`."""
    found = words(**changes)
    return found[: found.index("--")]


def program(**changes: Any) -> list[str]:
    """What runs inside."""
    found = words(**changes)
    return found[found.index("--") + 1 :]


def place_of(part: list[str], whole: list[str]) -> int:
    """Where words stand next to each other."""
    places = [start for start in range(len(whole)) if whole[start : start + len(part)] == part]
    assert places, f"{part} is missing"
    return places[0]


def mounted(*kinds: str, **changes: Any) -> list[tuple[str, str]]:
    """Source and target of the mounts of these kinds."""
    found = options(**changes)
    return [(found[n + 1], found[n + 2]) for n, word in enumerate(found) if word in kinds]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock[0] + lock[-1])
def test_every_lock_is_there(lock: list[str]) -> None:
    """One by one, so that the one that is missing is named."""
    place_of(lock, options())


@pytest.mark.parametrize("opening", OPENINGS)
def test_nothing_opens_a_lock(opening: str) -> None:
    """What is not asked for is not given."""
    assert opening not in options()


def test_only_the_workers_folder_can_be_written() -> None:
    """All else of the host is read-only."""
    assert mounted("--bind") == [("/state/workers/wrk_a", "/run/bascule")]


def test_little_of_the_host_can_be_read() -> None:
    """The system's programs and libraries, the worker's code; of /etc one cache, of /proc its switches."""
    seen = {source for source, _ in mounted("--ro-bind", "--ro-bind-try")}
    assert seen == {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/proc/sys", "/state/code/abc"}


def test_empty_folders_have_sizes() -> None:
    """Of the spec, in bytes; the word stands right before the mount it is for."""
    for size, folder in ((3 * MIB, "/dev/shm"), (3 * MIB, "/tmp"), (20 * MIB, "/work")):
        place_of(["--size", str(size), "--tmpfs", folder], options())


def test_roots_are_closed_after_all_is_mounted() -> None:
    """What is mounted later would make them writable again."""
    found = options()
    last_mount = max(n for n, word in enumerate(found) if word in ("--bind", "--ro-bind", "--tmpfs", "--dev"))
    assert place_of(["--remount-ro", "/dev"], found) > last_mount
    assert place_of(["--remount-ro", "/"], found) > last_mount


def test_the_environment_is_ours_alone() -> None:
    """Cleared first; nothing in it names the host."""
    found = options()
    given = {found[n + 1]: found[n + 2] for n, word in enumerate(found) if word == "--setenv"}
    assert given == ENVIRONMENT
    assert found.index("--clearenv") < found.index("--setenv")


def test_a_python_elsewhere_is_mounted_where_it_was() -> None:
    """After the empty folders, because it may lie below one of them."""
    prefix = ["--ro-bind", "/tmp/python", "/tmp/python"]
    found = options(prefix=Path("/tmp/python"))
    assert place_of(prefix, found) > place_of(["--tmpfs", "/tmp"], found)
    assert "LD_LIBRARY_PATH" not in found


def test_a_copied_python_finds_its_own_libraries() -> None:
    """Not those of a system's Python of the same name."""
    found = options(prefix=Path("/state/python"), libraries=Path("/state/python/lib"))
    place_of(["--setenv", "LD_LIBRARY_PATH", "/state/python/lib"], found)


def test_an_older_bwrap_is_not_asked_for_what_it_lacks() -> None:
    """Versions before 0.8."""
    assert "--disable-userns" not in options(options=frozenset())


def test_the_worker_runs_apart_from_the_hosts_settings() -> None:
    """`-I`: neither PYTHON variables nor the user's packages; arguments as the worker's usage says."""
    found = program()
    assert found[:3] == ["/usr/bin/python3", "-I", "-c"]
    assert found[4:] == ["--socket", "/run/bascule/worker.sock", "--work-folder", "/work"]
    assert "sys.path.insert(0, '/opt/bascule')" in found[3]
    compile(found[3], "start", "exec")


def test_limits_are_set_before_the_worker_is_imported() -> None:
    """Each once, soft and hard alike."""
    start = program()[3]
    for limit in ("NOFILE, 200", "CORE, 0", f"FSIZE, {7 * MIB}", "NPROC, 50", "MSGQUEUE, 0"):
        assert start.count(f"RLIMIT_{limit})") == 1
    assert start.index("setrlimit") < start.index("replworker")


def test_nothing_runs_before_the_server_has_answered() -> None:
    """Not even the imports; the descriptor is closed before there is a tenant."""
    start = program()[3]
    assert start.startswith("import os\nos.write(8, ")
    assert start.index("os.read(8, 1) or os._exit(1)") < start.index("os.close(8)") < start.index("setrlimit")


def test_memory_is_bounded_by_process_where_no_group_bounds_it() -> None:
    """And only there."""
    assert f"RLIMIT_DATA, {300 * MIB})" in program(has_memory_group=False)[3]
    assert "RLIMIT_DATA" not in program()[3]


def test_the_workers_id_is_among_the_words() -> None:
    """A stray sandbox is known by it."""
    assert any("wrk_a" in word for word in words())


def test_no_word_of_a_path_is_taken_for_an_option() -> None:
    """What comes after `--` is the program; before it a path only follows the word it belongs to."""
    found = options(folder=Path("/state/--share-net"))
    assert "--share-net" not in found
