"""The kernel's part: Python, user namespaces, cgroups."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.doctor.findings import Finding

CGROUPS: Final = Path("/sys/fs/cgroup")
WANTED: Final = ("memory", "pids", "cpu")
"""Controllers that hold an embedded worker tighter than rlimits can."""

_SWITCHES: Final = {
    "user.max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
    "kernel.unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
}
"""Settings that forbid user namespaces, the value that does, and what allows them."""


def python() -> Finding:
    """The Python that runs the server, and what speeds it up."""
    extras = {name: importlib.util.find_spec(name) is not None for name in ("uvloop", "hiredis")}
    missing = [name for name, there in extras.items() if not there]
    words = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)}"
    fix = f"pip install 'bascule[speed]' brings {' and '.join(missing)}" if missing else ""
    return Finding("python", True, words, fix, {"version": platform.python_version(), **extras})


def user_namespaces() -> Finding:
    """What the kernel's switches say to users other than root, as workers are; whether it can be done, bwrap tells."""
    if not Path("/proc/self/ns/user").exists():
        return Finding("user namespaces", False, "this kernel has none", "use a kernel with CONFIG_USER_NS, or Docker")
    facts: dict[str, object] = {}
    fixes = []
    for name, (forbids, fix) in _SWITCHES.items():
        value = _read(Path("/proc/sys") / name.replace(".", "/"))
        if value:
            facts[name] = value
        if value == forbids:
            fixes.append(fix)
    words = "switched off" if fixes else "allowed"
    return Finding("user namespaces", not fixes, words, "as root: " + "; ".join(fixes) if fixes else "", facts)


def cgroups() -> Finding:
    """Layout, and the controllers in which this user may make groups."""
    layout = "v2" if (CGROUPS / "cgroup.controllers").exists() else "v1" if (CGROUPS / "memory").is_dir() else "none"
    writable = sorted(_writable_v2() if layout == "v2" else _writable_v1())
    facts: dict[str, object] = {"layout": layout, "writable": writable}
    missing = [name for name in WANTED if name not in writable]
    words = f"{layout}, writable: {', '.join(writable) or 'none'}"
    fix = f"without {', '.join(missing)} embedded workers are held by rlimits only" if missing else ""
    return Finding("cgroups", True, words, fix, facts)


def _writable_v1() -> Iterator[str]:
    for name in WANTED:
        own = _own_group(name)
        if own is not None and os.access(CGROUPS / name / own, os.W_OK):
            yield name


def _writable_v2() -> Iterator[str]:
    """At the root, where the groups of workers are made: one of our own could have no limited ones below it."""
    if os.access(CGROUPS, os.W_OK):
        yield from (name for name in _read(CGROUPS / "cgroup.controllers").split() if name in WANTED)


def _own_group(controller: str) -> str | None:
    """This process' group below the mount of a controller of v1."""
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            # Inside a container the path may be the host's: then the mount's root is ours.
            found = path.lstrip("/")
            return found if (CGROUPS / controller / found).is_dir() else ""
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
