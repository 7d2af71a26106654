"""The shadow's own side: a process that holds the memory of the last large checkpoint as it was, and sleeps.

It is no child of the interpreter's, or a tenant's `os.wait()` would wait for it, and in a process group of its own. It
holds nothing of the tenant's open, or he would wait for the end of his own pipes for ever: each of those descriptors
becomes one that can do nothing, so that its number is not given to another file that some object of his would close.
When the interpreter dies, the agent may wake it; until then the end of the agent, or its word, ends it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import fcntl
import os
from collections.abc import Callable

from replwire.frames import SEQ
from replwire.hints import Any, Final, NamedTuple, NoReturn
from replworker.interpreter import spare
from replworker.packets import packet_pair
from replworker.sockets import Socket, receive_fds_late, send_fds


class Handed(NamedTuple):
    """The descriptors that the agent gives to a shadow when it wakes it, in this order."""

    control: int
    state: int
    pipe: int
    shadow: int
    life: int
    stdout: int
    stderr: int


WAKE: Final = b"w" * len(Handed._fields)
"""What the agent sends with them."""


_LEISURE: Final = 19
"""The lowest priority (nice(2)), to end with: taken before, it could not be given back to one that takes over."""


class Woken(BaseException):
    """The interpreter is dead, and this process, its shadow, is to be the interpreter: with these descriptors, and
    with the signals that were let through when it fell asleep."""

    def __init__(self, handed: Handed, mask: set[int]) -> None:
        super().__init__()
        self.handed = handed
        self.mask = mask
        self.unsaved: dict[str, str] = {}
        """Of its checkpoint."""
        self.undo: Callable[[], None] = lambda: None
        """Takes back what the process of a checkpoint changes of itself."""


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


def kill(pidfd: int, pid: int) -> None:
    """End the shadow, if it still is there, while nobody else has a use for its processor: that much memory takes
    milliseconds to be given back."""
    try:
        _signal.pidfd_send_signal(pidfd, 0)  # it is there, and so the number is its own
        _hurry_no_more(pid)
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    except OSError:  # it is gone, or a tenant has closed our descriptors
        pass


def _hurry_no_more(pid: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, _LEISURE)
    except OSError:  # a sandbox that forbids it: then it ends at once
        pass


def close(fd: int | None) -> None:
    """Let go of a descriptor, which a tenant may have closed."""
    try:
        if fd is not None:
            os.close(fd)
    except OSError:
        pass


def sleep(seq: int, channel: Socket) -> NoReturn:
    """Tell the agent on `channel` where the shadow of the state of `seq` sleeps, and do; raises `Woken`."""
    try:
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        os.setsid()
        spare.lend()
        ours, agents = packet_pair()
        pidfd = os.pidfd_open(os.getpid())
        send_fds(channel, SEQ.pack(seq), [agents.fileno(), pidfd])
        agents.close()
        os.close(pidfd)
        _let_go(ours.fileno())
        data, fds = receive_fds_late(ours, len(WAKE))
        if data != WAKE or len(fds) != len(WAKE):
            _hurry_no_more(os.getpid())
            os._exit(0)
        # Its number is free for a descriptor that was handed over: nothing of the tenant's ever had it.
        ours.close()
    except BaseException:
        os._exit(1)
    raise Woken(Handed(*fds), mask)


def _let_go(kept: int) -> None:
    """Of everything that is open but `kept`."""
    opened: list[Any] = os.listdir("/proc/self/fd")
    mute = os.open("/", os.O_PATH | os.O_CLOEXEC)
    for fd in map(int, opened):
        if fd not in (kept, mute) and _is_open(fd):
            os.dup2(mute, fd, inheritable=False)
    os.close(mute)


def _is_open(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True
