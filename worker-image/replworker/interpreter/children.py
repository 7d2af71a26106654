"""Processes that the tenant's code starts: the CPU of those that it waits for, and whether others may be left."""

from __future__ import annotations

import os
from resource import RUSAGE_CHILDREN, getrusage

from replwire.hints import Final

_LOOK: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Children:
    """Of this process. What is asked at each eval must cost next to nothing."""

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._faults = 0
        self._known: frozenset[int] = frozenset()
        self._were_waited_for = False
        self.forget()

    def take_over(self) -> None:
        """In a fork: nobody is its child yet."""
        self._known = frozenset()
        self.forget()

    def forget(self) -> None:
        """Those that were waited for until now are no eval's."""
        self.cpu_s()

    def cpu_s(self) -> float:
        """CPU seconds of those that were waited for since the last call, or `forget`."""
        used, before = getrusage(RUSAGE_CHILDREN), self._cpu_s
        self._cpu_s = used.ru_utime + used.ru_stime
        # No process lives without a page fault.
        self._were_waited_for = used.ru_minflt != self._faults
        self._faults = used.ru_minflt
        return self._cpu_s - before

    def are_left(self) -> bool:
        """Whether a process that an eval has started since the last call may be running: a child of ours, or a child of
        one that was waited for. Ask after `cpu_s`."""
        try:
            os.waitid(os.P_ALL, 0, _LOOK)
        except ChildProcessError:
            self._known = frozenset()
            return self._were_waited_for
        found, known = _children(), self._known
        self._known = found
        return self._were_waited_for or not found or not found <= known


def _children() -> frozenset[int]:
    """Process ids; none where the kernel does not tell."""
    found: set[int] = set()
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", "rb") as file:
                found.update(map(int, file.read().split()))
    except OSError:
        return frozenset()
    return frozenset(found)
