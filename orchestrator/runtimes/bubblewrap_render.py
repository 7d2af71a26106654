"""A `SandboxSpec` as the words of a `bwrap` command. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.core.sandbox import MIB, OOM_SCORE, SOCKET_FOLDER, WORK_FOLDER, SandboxSpec
from orchestrator.runtimes.folders import SOCKET_NAME
from orchestrator.runtimes.greeting import greeting_code
from orchestrator.runtimes.python_choice import SYSTEM_ROOTS

CODE_FOLDER: Final = "/opt/bascule"
INNER_UID: Final = 65534
"""What every tenant is inside; outside each worker has a uid of its own."""

ENVIRONMENT: Final = {"HOME": WORK_FOLDER, "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb"}

_START: Final = (
    "{greeting}"
    "import resource as r, sys\n"
    "for name, bound in {limits}: r.setrlimit(name, (bound, bound))\n"
    "with open('/proc/self/oom_score_adj', 'r+') as file:\n"
    f"    file.write(str(max(int(file.read()), {OOM_SCORE})))\n"
    f"sys.path.insert(0, {CODE_FOLDER!r})\n"
    "from replworker.__main__ import main\n"
    "sys.exit(main(sys.argv[1:]))"
)
"""The program inside. Limits are set here, because a limit on processes counts those of this namespace only then."""


@dataclass(frozen=True, slots=True)
class Places:
    """What of the host a sandbox is made of."""

    bwrap: str
    python: Path
    prefix: Path | None
    """Of a Python outside the system's folders."""
    code: Path
    folder: Path
    """Of this worker; the only one that it may write to, until it is locked."""
    seccomp_fd: int
    greeting_fd: int
    libraries: Path | None = None
    """Where a copied Python finds its own libraries."""
    options: frozenset[str] = frozenset()
    """Options that this `bwrap` has and others may lack."""


def command(spec: SandboxSpec, places: Places, *, has_memory_group: bool) -> list[str]:
    """All words. The worker's id is among them, in the folder's path: that is how a stray process is recognised."""
    return [
        places.bwrap,
        *_namespaces(places),
        *_file_system(spec, places),
        *_environment(places),
        *("--seccomp", str(places.seccomp_fd)),
        "--",
        *_program(spec, places, has_memory_group=has_memory_group),
    ]


def _namespaces(places: Places) -> list[str]:
    words = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--uid", str(INNER_UID), "--gid", str(INNER_UID), "--hostname", "worker"]
    return [*words, "--disable-userns"] if "--disable-userns" in places.options else words


def _file_system(spec: SandboxSpec, places: Places) -> list[str]:
    words: list[str] = []
    for root in SYSTEM_ROOTS:
        words += ["--ro-bind-try", str(root), str(root)]
    words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    # Read-only: some of its switches belong to the sandbox's own namespaces, and so its user could turn them.
    words += ["--proc", "/proc", "--ro-bind-try", "/proc/sys", "/proc/sys", "--dev", "/dev"]
    for size, folder in (
        (spec.scratch_bytes, "/dev/shm"), (spec.scratch_bytes, "/tmp"), (spec.work_folder_bytes, WORK_FOLDER),  # noqa: S108
    ):  # fmt: skip
        words += ["--size", str(size), "--tmpfs", folder]
    if places.prefix is not None:
        # After the empty folders: it may lie below one of them.
        words += ["--ro-bind", str(places.prefix), str(places.prefix)]
    words += ["--ro-bind", str(places.code), CODE_FOLDER, "--bind", str(places.folder), SOCKET_FOLDER]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK_FOLDER]


def _environment(places: Places) -> list[str]:
    given = ENVIRONMENT | ({"LD_LIBRARY_PATH": str(places.libraries)} if places.libraries is not None else {})
    return ["--clearenv", *(word for pair in given.items() for word in ("--setenv", *pair))]


def _program(spec: SandboxSpec, places: Places, *, has_memory_group: bool) -> list[str]:
    limits = _limits(spec, has_memory_group=has_memory_group)
    start = _START.format(greeting=greeting_code(places.greeting_fd), limits=limits)
    arguments = ["--socket", f"{SOCKET_FOLDER}/{SOCKET_NAME}", "--work-folder", WORK_FOLDER]
    return [str(places.python), "-I", "-c", start, *arguments]


def _limits(spec: SandboxSpec, *, has_memory_group: bool) -> str:
    bounds = {
        "NOFILE": spec.open_files_max, "CORE": 0, "FSIZE": spec.file_bytes_max, "NPROC": spec.pids_max,
        "MEMLOCK": MIB, "MSGQUEUE": 0,
    }  # fmt: skip
    if not has_memory_group:
        # Of each process alone; all that can be had where no group can be made.
        bounds["DATA"] = spec.memory_bytes
    return "(" + "".join(f"(r.RLIMIT_{name}, {bound})," for name, bound in bounds.items()) + ")"
