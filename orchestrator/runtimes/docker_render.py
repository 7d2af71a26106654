"""A `SandboxSpec` as the two JSON objects that Docker's "create a container" takes. Pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from orchestrator.core.sandbox import MIB, OOM_SCORE, SOCKET_FOLDER, WORK_FOLDER, SandboxSpec
from orchestrator.runtimes.folders import SOCKET_NAME
from orchestrator.runtimes.syscalls import docker_profile

INSTALLATION_LABEL: Final = "bascule.installation"
"""On every container: whose it is. Servers find theirs by it, and never touch another installation's."""

COMMAND: Final = (
    "python3", "-I", "-m", "replworker", "--socket", f"{SOCKET_FOLDER}/{SOCKET_NAME}", "--work-folder", WORK_FOLDER,
)  # fmt: skip

ENVIRONMENT: Final = {"HOME": WORK_FOLDER, "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb"}
"""All of it but what the image itself sets, which isolated Python does not heed."""

NANOS_PER_CPU: Final = 1_000_000_000

_SECCOMP: Final = json.dumps(docker_profile())


def labels(spec: SandboxSpec, installation: str) -> dict[str, str]:
    """What a later server finds the container by."""
    return {**dict(spec.labels), INSTALLATION_LABEL: installation}


def host_config(spec: SandboxSpec, *, folder: Path, uid: int, engine_runtime: str | None) -> dict[str, Any]:
    """`HostConfig`: every lock. `folder` is mounted as the only thing of the host's."""
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={_SECCOMP}"],
        "Init": True,
        "IpcMode": "private",
        # On cgroup v1 the default is the host's, which shows every tenant the engine's paths and ids.
        "CgroupnsMode": "private",
        "PidsLimit": spec.pids_max,
        "Memory": spec.memory_bytes,
        "MemorySwap": spec.memory_bytes,
        "NanoCpus": int(spec.cpus * NANOS_PER_CPU),
        "OomScoreAdj": OOM_SCORE,
        "Ulimits": _ulimits(spec),
        "Tmpfs": _tmpfs(spec, uid),
        # Not `Binds`: for those a folder that has gone is made again, by the engine's root.
        "Mounts": [{"Type": "bind", "Source": str(folder), "Target": SOCKET_FOLDER}],
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
    }
    return {**config, "Runtime": engine_runtime} if engine_runtime else config


def container(
    spec: SandboxSpec, *, folder: Path, uid: int, installation: str, engine_runtime: str | None
) -> dict[str, Any]:
    """The whole body of the request."""
    return {
        "Image": spec.image,
        "Cmd": list(COMMAND),
        "Entrypoint": [],
        # An image's own would run beside the worker, again and again.
        "Healthcheck": {"Test": ["NONE"]},
        "User": f"{uid}:{uid}",
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "WorkingDir": WORK_FOLDER,
        "Hostname": "worker",
        "NetworkDisabled": True,
        "AttachStdout": False,
        "AttachStderr": False,
        "Labels": labels(spec, installation),
        "HostConfig": host_config(spec, folder=folder, uid=uid, engine_runtime=engine_runtime),
    }


def _ulimits(spec: SandboxSpec) -> list[dict[str, Any]]:
    # Not nproc: it counts per user over all containers of the host; the pids cgroup counts this one.
    bounds = {"core": 0, "nofile": spec.open_files_max, "fsize": spec.file_bytes_max, "memlock": MIB, "msgqueue": 0}
    return [{"Name": name, "Soft": bound, "Hard": bound} for name, bound in bounds.items()]


def _tmpfs(spec: SandboxSpec, uid: int) -> dict[str, str]:
    """The places that can be written to, each bounded in bytes and in files.

    Owned by the worker, because some versions of runc put the mode of the image's folder in place of ours.
    """
    common = f"rw,nosuid,nodev,uid={uid},gid={uid},mode=0700,nr_inodes={spec.inodes_max}"
    scratch = f"{common},size={spec.scratch_bytes}"
    return {
        WORK_FOLDER: f"{common},exec,size={spec.work_folder_bytes}",
        "/tmp": f"{scratch},noexec",  # noqa: S108 - inside the sandbox
        "/dev/shm": f"{scratch},noexec",  # noqa: S108
    }
