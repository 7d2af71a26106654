"""Shadows of the interpreter that have told where they sleep: one of them takes its place when it dies.

A shadow holds the state that one checkpoint was taken of. It may take over only if that is the last one whose outcome
we have: what was acknowledged since would be gone otherwise (durability.md, trace 9).
"""

from __future__ import annotations

import os
import struct

from replwire.frames import SEQ
from replwire.hints import Final, NamedTuple
from replworker.agent.breach import InterpreterBreach
from replworker.sockets import Socket, close_fds, receive_fds

SHADOWS_MAX: Final = 2
"""The one before sleeps until the checkpoint is here that made the next one."""

_PID: Final = b"Pid:"
"""In what the kernel tells of a process's handle."""

GONE: Final = -1
"""What it tells there of a process that has been waited for."""


class Shadow(NamedTuple):
    """One of them."""

    seq: int
    pid: int
    pidfd: int
    sock: Socket
    """It wakes by what is sent there, and ends when that is closed."""

    def let_go(self) -> None:
        """It is not wanted any more."""
        self.sock.close()
        os.close(self.pidfd)


def _pid_of(pidfd: int) -> int:
    """As we see it; `GONE` when it has ended. Raises `ValueError` for what is no handle of a process that we see."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
        pids = [int(line.removeprefix(_PID)) for line in file if line.startswith(_PID)]
    if len(pids) != 1 or pids[0] in (0, 1):
        raise ValueError("no process")
    return pids[0]


class Standby:
    """Of one interpreter."""

    def __init__(self, channel: Socket) -> None:
        self._channel = channel
        self.fd = channel.fileno()
        """Readable when one has something to say: then call `receive`."""
        self.shadows: list[Shadow] = []
        """In the order of their seqs."""

    def receive(self) -> bool:
        """Hear one that has fallen asleep; False when the channel has ended. Raises `InterpreterBreach`."""
        try:
            said, fds = receive_fds(self._channel, SEQ.size)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not said and not fds:
            return False
        try:
            ((seq,), (sock, pidfd)) = SEQ.unpack(said), fds
            pid = _pid_of(pidfd)
            if pid == GONE:  # the next checkpoint's process ended it before we came to read
                close_fds(fds)
                return True
            shadow = Shadow(seq, pid, pidfd, Socket(fileno=sock))
        except (struct.error, ValueError, OSError):
            close_fds(fds)
            raise InterpreterBreach("a malformed word of a shadow") from None
        shadow.sock.setblocking(False)  # it may be a tenant's, who lets us wait
        self.shadows.append(shadow)
        while len(self.shadows) > SHADOWS_MAX:
            self.shadows.pop(0).let_go()
        return True

    def take(self, seq: int) -> Shadow | None:
        """The one of that state, which is the caller's now."""
        for shadow in self.shadows:
            if shadow.seq == seq:
                self.shadows.remove(shadow)
                return shadow
        return None

    def forget_before(self, seq: int) -> None:
        """States before that one are of no use any more."""
        while self.shadows and self.shadows[0].seq < seq:
            self.shadows.pop(0).let_go()

    def forget_all(self) -> None:
        """Those that are left."""
        self.forget_before(1 << 63)
