"""The interpreter's process: forked from the agent, so that pages are shared, and tied to the agent's life; or one that
took its place."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import fcntl
import gc
import os
from collections.abc import Callable

from replwire.hints import Final, NoReturn
from replworker.agent.endings import how_it_ended
from replworker.packets import packet_pair
from replworker.sockets import Socket, send_fds, unix_pair

CRASH_STATUS: Final = 70
"""Exit status of an interpreter whose own code failed (`EX_SOFTWARE`)."""

_F_SETSIG: Final = 10

RunInterpreter = Callable[..., NoReturn]
"""`(control, state_channel, pipe_channel, shadow_channel, *, work_folder)`; called in the child, with fd 1 and 2 in
place."""

_WAKE: Final = b"w" * 7
"""What wakes a shadow, with as many descriptors: see `replworker.interpreter.shadow`."""


class Child:
    """The interpreter as the agent sees it: its process and the agent's ends of what connects them."""

    __slots__ = (
        "_is_ours",
        "_is_over",
        "_life",
        "control",
        "pid",
        "pidfd",
        "pipe_channel",
        "shadow_channel",
        "state_channel",
        "stderr_fd",
        "stdout_fd",
    )

    def __init__(self, pid: int, sockets: list[Socket], stdout_fd: int, stderr_fd: int, life: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._connect(sockets, stdout_fd, stderr_fd, life)
        self._is_ours = True
        self._is_over = False

    def _connect(self, sockets: list[Socket], stdout_fd: int, stderr_fd: int, life: int) -> None:
        self.control, self.state_channel, self.pipe_channel, self.shadow_channel = sockets
        self.stdout_fd = stdout_fd
        self.stderr_fd = stderr_fd
        self._life = life

    def interrupt(self) -> None:
        """SIGINT; nothing if it is gone."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGINT)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """SIGKILL to it and to what it started and did not move away; nothing once its end was waited for."""
        if self._is_over:
            return
        for send, whom in ((os.killpg, self.pid), (signal.pidfd_send_signal, self.pidfd)):
            try:
                send(whom, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def wait(self) -> tuple[int | None, int | None]:
        """Its end: the signal that killed it, or its exit status. Of one that took the place of another, and so is no
        child of ours, neither may be known."""
        self._is_over = True
        status = os.waitpid(self.pid, 0)[1] if self._is_ours else how_it_ended(self.pidfd)
        if status is None:
            return None, None
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status), None
        return None, os.WEXITSTATUS(status)

    def succeed(self, pid: int, pidfd: int, sleeper: Socket) -> None:
        """From now on it is that process, which sleeps and reads there. Raises `OSError`."""
        line = _Line()
        try:
            _set_trap(line.its_life, pid)
            send_fds(sleeper, _WAKE, line.its_fds)
        finally:
            line.close_its()
        for sock in (self.control, self.state_channel, self.pipe_channel, self.shadow_channel):
            sock.close()
        for fd in (self.pidfd, self._life):
            os.close(fd)
        self.pid, self.pidfd = pid, pidfd
        self._connect(line.ours, line.stdout, line.stderr, line.life)
        self._is_ours = self._is_over = False


class _Line:
    """What connects an interpreter with us, both ends."""

    def __init__(self) -> None:
        pairs = unix_pair(), packet_pair(), packet_pair(), packet_pair()
        (*self.ours,), (*self.its,) = zip(*pairs, strict=True)
        self.stdout, self.its_stdout = os.pipe()
        self.stderr, self.its_stderr = os.pipe()
        self.its_life, self.life = os.pipe()

    @property
    def its_fds(self) -> list[int]:
        """All of the other side's, in the order in which they are handed to a shadow."""
        return [*(sock.fileno() for sock in self.its), self.its_life, self.its_stdout, self.its_stderr]

    def close_its(self) -> None:
        """That side has its own."""
        for sock in self.its:
            sock.close()
        for fd in (self.its_stdout, self.its_stderr, self.its_life):
            os.close(fd)

    def close_ours(self) -> None:
        """In the child."""
        for sock in self.ours:
            sock.close()
        for fd in (self.stdout, self.stderr, self.life):
            os.close(fd)


def start_interpreter(run: RunInterpreter, work_folder: str) -> Child:
    """Fork. In the child this does not return."""
    _occupy_standard_fds()
    line = _Line()
    gc.freeze()
    pid = os.fork()
    if pid:
        line.close_its()
        return Child(pid, line.ours, line.stdout, line.stderr, line.life)
    try:
        line.close_ours()
        _prepare(line.its_stdout, line.its_stderr, line.its_life)
        run(*line.its, work_folder=work_folder)
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
    _set_trap(life, os.getpgrp())
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, place in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(fd, place)
        os.close(fd)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_trap(life: int, group: int) -> None:
    """The kernel kills this process group when the agent, the only one that holds the pipe's other end, is gone.

    PR_SET_PDEATHSIG would need ctypes. Where pipes send no signals, the end of the control socket is left to tell
    the interpreter, and the sandbox's process namespace to end it.
    """
    try:
        fcntl.fcntl(life, fcntl.F_SETOWN, -group)
        fcntl.fcntl(life, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        pass
