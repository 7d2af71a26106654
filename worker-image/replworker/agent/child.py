"""The interpreter's process: forked from the agent, so that pages are shared, and tied to the agent's life."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import fcntl
import gc
import os
from collections.abc import Callable

from replwire.hints import Final, NoReturn
from replworker.packets import packet_pair
from replworker.sockets import Socket, unix_pair

CRASH_STATUS: Final = 70
"""Exit status of an interpreter whose own code failed (`EX_SOFTWARE`)."""

_F_SETSIG: Final = 10

RunInterpreter = Callable[..., NoReturn]
"""`(control, state_channel, pipe_channel, *, work_folder)`; called in the child, with fd 1 and 2 in place."""


class Child:
    """The interpreter as the agent sees it: its process and the agent's ends of what connects them."""

    __slots__ = (
        "_is_reaped",
        "_life",
        "control",
        "pid",
        "pidfd",
        "pipe_channel",
        "state_channel",
        "stderr_fd",
        "stdout_fd",
    )

    def __init__(self, pid: int, sockets: list[Socket], stdout_fd: int, stderr_fd: int, life: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.control, self.state_channel, self.pipe_channel = sockets
        self.stdout_fd = stdout_fd
        self.stderr_fd = stderr_fd
        self._life = life
        self._is_reaped = False

    def interrupt(self) -> None:
        """SIGINT; nothing if it is gone."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGINT)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """SIGKILL to it and to what it started and did not move away; nothing once it has been reaped."""
        if self._is_reaped:
            return
        for send in (os.killpg, os.kill):
            try:
                send(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def wait(self) -> tuple[int | None, int | None]:
        """Reap it: the signal that killed it, or its exit status."""
        _, status = os.waitpid(self.pid, 0)
        self._is_reaped = True
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status), None
        return None, os.WEXITSTATUS(status)


def start_interpreter(run: RunInterpreter, work_folder: str) -> Child:
    """Fork. In the child this does not return."""
    _occupy_standard_fds()
    pairs = unix_pair(), packet_pair(), packet_pair()
    (*ours,), (*its,) = zip(*pairs, strict=True)
    stdout, child_stdout = os.pipe()
    stderr, child_stderr = os.pipe()
    child_life, life = os.pipe()
    gc.freeze()
    pid = os.fork()
    if pid:
        for sock in its:
            sock.close()
        for fd in (child_stdout, child_stderr, child_life):
            os.close(fd)
        return Child(pid, ours, stdout, stderr, life)
    try:
        for sock in ours:
            sock.close()
        for fd in (stdout, stderr, life):
            os.close(fd)
        _prepare(child_stdout, child_stderr, child_life)
        run(*its, work_folder=work_folder)
    finally:
        os._exit(CRASH_STATUS)


def _occupy_standard_fds() -> None:
    """Nothing that is made below may become fd 0, 1 or 2, also when we were started without them."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _prepare(stdout: int, stderr: int, life: int) -> None:
    """What the child does before any of the interpreter's code runs."""
    os.setsid()
    _die_with_agent(life)
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, place in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(fd, place)
        os.close(fd)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _die_with_agent(life: int) -> None:
    """The kernel kills this process group when the agent, the only one that holds the pipe's other end, is gone.

    PR_SET_PDEATHSIG would need ctypes. Where pipes send no signals, the end of the control socket is left to tell
    the interpreter, and the sandbox's process namespace to end it.
    """
    try:
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        pass
