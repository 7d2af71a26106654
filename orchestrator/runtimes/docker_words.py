"""What a Docker engine says of itself, its images and containers; what is wrong, in words that say what helps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.ports import WorkerFate
from replwire.errors import WireError

RETRY_AFTER_MS: Final = 2000
WORDS_CHARS_MAX: Final = 300

API_MIN: Final = (1, 41)
"""Before it, control group namespaces and limits of every kind are not all known: a lock would be left out."""

LIMITS: Final = {"MemoryLimit": "memory", "PidsLimit": "processes", "CpuCfsQuota": "processor time"}
"""Limits that an engine leaves out, with no more than a warning, where its kernel lacks them."""

USER_MAPPINGS: Final = ("name=rootless", "name=userns")
"""With them a container's uid is another one on the host, and a worker can't use the folder that was made for it."""


def host_complaint(host: str) -> str | None:
    """About the engine's address; empty is the default one."""
    if not host or host.startswith(("unix://", "http+unix://")):
        return None
    return f"the Docker engine is at {host}: workers are dialled by Unix socket, use an engine of this machine"


def api_complaint(version: object) -> str | None:
    """About the version of the engine's API, as the engine writes it."""
    if tuple(int(part) for part in str(version).split(".") if part.isdigit()) >= API_MIN:
        return None
    return f"the Docker engine speaks API {version}: {'.'.join(map(str, API_MIN))} is the least, of Docker 20.10"


def engine_complaint(info: Mapping[str, Any], engine_runtime: str | None, *, has_swap: bool) -> str | None:
    """About the engine's `info`. `has_swap`: this machine has some, which a limit of memory has to cover."""
    known = sorted(info.get("Runtimes") or {})
    if engine_runtime and engine_runtime not in known:
        seen = f"the Docker engine has no runtime {engine_runtime}; it has {', '.join(known)}"
        return f"{seen}: add it to the engine's daemon.json, or choose another with --docker-runtime"
    if any(option.split(",")[0] in USER_MAPPINGS for option in info.get("SecurityOptions") or ()):
        return "the Docker engine maps users (rootless, or userns-remap): take another one, or --embedded"
    missing = [words for name, words in LIMITS.items() if info.get(name) is False]
    if missing:
        return f"the Docker engine can't limit {' and '.join(missing)}: its kernel has no such control group"
    if has_swap and info.get("SwapLimit") is False:
        return "the Docker engine can't limit swap, and this machine has some: swapoff -a, or boot with swapaccount=1"
    return None


def image_complaint(image: str, inspected: Mapping[str, Any]) -> str | None:
    """About an image that is there: a volume of its own is disk without a limit that a tenant can write to."""
    volumes = (inspected.get("Config") or {}).get("Volumes")
    return f"the image {image} has volumes ({', '.join(volumes)}): build it without VOLUME" if volumes else None


def fate_of(inspected: Mapping[str, Any]) -> WorkerFate:
    """Whether a container lives, and how it ended.

    `OOMKilled` alone tells of memory: it is set, too, when the kernel killed only the interpreter, whose agent then
    ends with 1, and when it killed a child of the tenant's in a worker that died of something else later.
    """
    state = inspected["State"]
    if state["Running"]:
        return WorkerFate(alive=True)
    if state["Status"] == "created":
        return WorkerFate(alive=False)
    return WorkerFate(alive=False, exit_code=state["ExitCode"], memory_killed=bool(state["OOMKilled"]))


def no_image(image: str) -> str:
    """About an image that is not there."""
    return f"the Docker engine has no image {image}: docker build -t {image} worker-image"


def no_engine(error: BaseException) -> str:
    """About an engine that is away, hangs or answers nonsense."""
    return f"no Docker engine answers: {said_by(error)}; `bascule doctor` says more"


def no_start(reason: str) -> WireError:
    """A start that failed, for clients: try again."""
    return WireError("capacity", f"a worker could not be started: {reason}", retry_after_ms=RETRY_AFTER_MS)


def said_by(error: BaseException) -> str:
    """The engine's own words, without the client library's wrapping."""
    return str(getattr(error, "explanation", None) or error)[:WORDS_CHARS_MAX]
