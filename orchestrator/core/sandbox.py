"""How tightly a worker is held: data that every runtime renders, each in its own pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024

SOCKET_FOLDER: Final = "/run/bascule"
"""Where the worker's one socket lies, as the sandbox sees it."""

WORK_FOLDER: Final = "/work"
"""The tenant's working folder, as the sandbox sees it; a tmpfs of its own."""

OOM_SCORE: Final = 500
"""What is added to a worker's badness (0 to 1000): where the machine's memory runs out, it dies before the server."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """The locks of one worker. There is no field that opens one: network, capabilities, privileges are never given."""

    worker: str
    """Id of the worker (`wrk_…`); also its container's name."""
    image: str = "bascule-worker:latest"
    memory_bytes: int = 256 * MIB
    """All memory of the sandbox, its tmpfs included; no swap."""
    cpus: float = 1.0
    pids_max: int = 64
    """Processes and threads."""
    open_files_max: int = 256
    file_bytes_max: int = 64 * MIB
    """Size of one file."""
    work_folder_bytes: int = 64 * MIB
    scratch_bytes: int = 16 * MIB
    """Of /tmp and, again, of /dev/shm."""
    inodes_max: int = 4096
    """Of each tmpfs."""
    labels: tuple[tuple[str, str], ...] = ()
    """What a later server finds its workers by."""
