"""What Docker is asked for: every lock by its name in the Engine API, with nothing that opens one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.sandbox import MIB, SandboxSpec
from orchestrator.runtimes.docker_render import container
from orchestrator.runtimes.syscalls import docker_profile

UID = 234_567
SPEC = SandboxSpec(
    worker="wrk_a", image="some:image", memory_bytes=300 * MIB, cpus=0.5, pids_max=50, open_files_max=200,
    file_bytes_max=7 * MIB, work_folder_bytes=20 * MIB, scratch_bytes=3 * MIB, inodes_max=1000,
    labels=(("who", "me"),),
)  # fmt: skip

OPENINGS = (
    "Privileged", "CapAdd", "Devices", "DeviceCgroupRules", "DeviceRequests", "GroupAdd", "Sysctls", "PidMode",
    "UTSMode", "UsernsMode", "VolumesFrom", "PortBindings", "PublishAllPorts", "ExtraHosts", "Links", "AutoRemove",
    "MaskedPaths", "ReadonlyPaths", "OomKillDisable", "StorageOpt",
)  # fmt: skip
"""Settings that are left as the engine has them: each could give something, or take one of its own locks away."""

LOCKS: dict[str, Any] = {
    "NetworkMode": "none",
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "Init": True,
    "IpcMode": "private",
    "CgroupnsMode": "private",
    "PidsLimit": 50,
    "Memory": 300 * MIB,
    "MemorySwap": 300 * MIB,
    "NanoCpus": 500_000_000,
    "LogConfig": {"Type": "none"},
    "RestartPolicy": {"Name": "no"},
}


def rendered(**changes: Any) -> dict[str, Any]:
    """The request's body for the spec with these changes."""
    runtime = changes.pop("engine_runtime", None)
    spec = replace(SPEC, **changes)
    return container(spec, folder=Path("/state/wrk_a"), uid=UID, installation="inst", engine_runtime=runtime)


@pytest.mark.parametrize("name", LOCKS)
def test_every_lock_is_there(name: str) -> None:
    """One by one, so that the one that is missing is named."""
    assert rendered()["HostConfig"][name] == LOCKS[name]


def test_an_images_health_check_is_not_run() -> None:
    """It would start a program in the sandbox, again and again."""
    assert rendered()["Healthcheck"] == {"Test": ["NONE"]}


@pytest.mark.parametrize("name", OPENINGS)
def test_nothing_opens_a_lock(name: str) -> None:
    """What is not asked for is not given."""
    assert name not in rendered()["HostConfig"]


def test_the_body_is_json() -> None:
    """It goes over HTTP as it is."""
    assert json.loads(json.dumps(rendered())) == rendered()


def test_the_command_is_the_agent_and_the_images_own_entry_point_is_not_run() -> None:
    """Isolated Python: neither the environment nor a folder of the tenant's adds to its imports."""
    body = rendered()
    assert body["Cmd"] == [
        "python3", "-I", "-m", "replworker", "--socket", "/run/bascule/worker.sock", "--work-folder", "/work",
    ]  # fmt: skip
    assert body["Entrypoint"] == []
    assert body["Image"] == "some:image"
    assert body["WorkingDir"] == "/work"


def test_the_worker_is_a_user_of_its_own() -> None:
    """Uid and group, both unprivileged and by number: the image's accounts mean nothing."""
    assert rendered()["User"] == f"{UID}:{UID}"


def test_the_environment_is_small_and_has_nothing_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server knows stays there."""
    monkeypatch.setenv("BASCULE_SECRET", "a secret")
    names = dict(entry.split("=", 1) for entry in rendered()["Env"])
    assert names.keys() <= {"HOME", "LANG", "PATH", "TERM"}
    assert names["HOME"] == "/work"
    assert names["LANG"] == "C.UTF-8"
    assert rendered()["Hostname"] == "worker"


def test_no_new_privileges_and_our_own_system_calls() -> None:
    """The profile goes inline, so that it is that of this server, whatever the engine's is."""
    privileges, profile = rendered()["HostConfig"]["SecurityOpt"]
    assert privileges == "no-new-privileges"
    assert json.loads(profile.removeprefix("seccomp=")) == docker_profile()


def test_the_only_thing_of_the_hosts_is_the_folder() -> None:
    """It holds the socket, and nothing else is mounted."""
    config = rendered()["HostConfig"]
    assert "Volumes" not in rendered()
    assert config["Mounts"] == [{"Type": "bind", "Source": "/state/wrk_a", "Target": "/run/bascule"}]
    assert "Binds" not in config


@pytest.mark.parametrize(("place", "size"), [("/work", 20 * MIB), ("/tmp", 3 * MIB), ("/dev/shm", 3 * MIB)])
def test_what_can_be_written_to_is_bounded(place: str, size: int) -> None:
    """In bytes and in files; owned by the worker."""
    assert rendered()["HostConfig"]["Tmpfs"].keys() == {"/work", "/tmp", "/dev/shm"}
    options = rendered()["HostConfig"]["Tmpfs"][place].split(",")
    assert {"nosuid", "nodev", f"size={size}", "nr_inodes=1000", f"uid={UID}", f"gid={UID}"} <= set(options)
    assert any(option.startswith("mode=") for option in options)
    assert place == "/work" or "noexec" in options


def test_ulimits() -> None:
    """Not nproc: it counts the processes of a uid over the whole host."""
    limits = {entry["Name"]: (entry["Soft"], entry["Hard"]) for entry in rendered()["HostConfig"]["Ulimits"]}
    assert limits["nofile"] == (200, 200)
    assert limits["core"] == (0, 0)
    assert limits["fsize"] == (7 * MIB, 7 * MIB)
    assert limits["msgqueue"] == (0, 0), "else /dev/mqueue could be written to"
    assert "nproc" not in limits


def test_when_memory_runs_out_workers_die_first() -> None:
    """Before the server and its store, which have 0."""
    assert 0 < rendered()["HostConfig"]["OomScoreAdj"] <= 1000


def test_a_fraction_of_a_processor_is_rounded_to_whole_nanos() -> None:
    """The API takes no float."""
    assert rendered(cpus=0.1)["HostConfig"]["NanoCpus"] == 100_000_000
    assert isinstance(rendered(cpus=1.7)["HostConfig"]["NanoCpus"], int)


def test_labels_of_the_spec_cannot_move_it_to_another_installation() -> None:
    """Servers find, and end, their workers by it."""
    assert rendered()["Labels"] == {"bascule.installation": "inst", "who": "me"}
    stolen = rendered(labels=(("bascule.installation", "other"),))
    assert stolen["Labels"] == {"bascule.installation": "inst"}


def test_the_engines_runtime_is_asked_for_only_when_it_is_set() -> None:
    """Without it the engine's default is used."""
    assert "Runtime" not in rendered()["HostConfig"]
    assert rendered(engine_runtime="runsc")["HostConfig"]["Runtime"] == "runsc"
