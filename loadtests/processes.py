"""What `/proc` says about processes: children, memory, CPU time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

KIB: Final = 1024
MB: Final = 1_000_000
RESET_PEAK: Final = "5"
"""What `clear_refs` takes to begin the high-water mark anew."""


def parent_of(pid: int) -> int:
    """Process id of the parent; raises `OSError` when it is gone."""
    return int(_stat_fields(pid)[1])


def descendants(pid: int) -> set[int]:
    """All children, and theirs, that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
            except OSError:
                continue
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting.extend(new)
    return found


def proportional_bytes(pid: int) -> int:
    """PSS: private memory and this process's share of what it shares; raises `OSError` where that is not told."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * KIB
    raise OSError(f"no PSS for process {pid}")


def cpu_s(pid: int) -> float:
    """CPU seconds of the threads that it has now, in user and system mode, since their starts."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _stat_fields(pid: int) -> list[str]:
    """Fields of `stat` after the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class PeakMemory:
    """How far a process's resident memory rises above where it was when this was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
        self._before_bytes = self._status("VmRSS")

    def growth_bytes(self) -> int:
        """High-water mark since then, less what it was then."""
        return self._status("VmHWM") - self._before_bytes

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * KIB
        raise OSError(f"no {name} for process {self._pid}")
