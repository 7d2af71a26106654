"""The shadow's own side: a process that holds the memory of the last large checkpoint as it was, and sleeps.

It is no child of the interpreter's, or a tenant's `os.wait()` would wait for it. It holds no descriptor but one pipe,
or a tenant would wait for the end of his own pipes for ever; that pipe tells it when it is not wanted any more.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
from resource import RLIMIT_NOFILE, getrlimit

from replwire.hints import Final, NoReturn

DESCRIPTORS_MAX: Final = 1 << 16
"""None is higher where no limit says so."""


def fork_off() -> int | None:
    """As `os.fork`; None when the machine gives no further process."""
    try:
        return os.fork()
    except OSError:
        return None


def handle(pid: int) -> int | None:
    """To kill it by; None for none (0), and where there are no descriptors left."""
    try:
        return os.pidfd_open(pid) if pid else None
    except OSError:
        return None


def kill(pidfd: int) -> None:
    """End the shadow, if it still is there."""
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    except OSError:  # it is gone, or a tenant has closed our descriptors
        pass


def close(fd: int | None) -> None:
    """Let go of a descriptor, which a tenant may have closed."""
    try:
        if fd is not None:
            os.close(fd)
    except OSError:
        pass


def sleep(pipe: int) -> NoReturn:
    """Until nobody has the other end of `pipe`."""
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        highest = min(getrlimit(RLIMIT_NOFILE)[1], DESCRIPTORS_MAX)
        os.closerange(0, pipe)
        os.closerange(pipe + 1, highest)
        poll = select.poll()
        poll.register(pipe, 0)
        poll.poll()
    finally:
        os._exit(0)
