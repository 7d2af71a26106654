"""Starts one worker: the interpreter's process, the listening socket, the loop; and ends what it started."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import os
import stat
import sys
from types import FrameType

from replwire.hints import Final, NoReturn
from replworker.agent.child import RunInterpreter, start_interpreter
from replworker.agent.core import Agent
from replworker.agent.loop import Loop
from replworker.sockets import Socket, unix_socket

LISTEN_BACKLOG: Final = 64

SOCKET_MODE: Final = 0o666
"""Whoever reaches the folder may dial; the runtime decides who does."""

STATUS_TERMINATED: Final = 0
STATUS_INTERPRETER_GONE: Final = 1


class _Terminated(BaseException):
    """SIGTERM came."""


def run_worker(socket_path: str, work_folder: str, run: RunInterpreter) -> int:
    """Serve one session on the Unix socket; returns the exit status. Raises `OSError` when it cannot listen."""
    child = start_interpreter(run, work_folder)
    status = STATUS_INTERPRETER_GONE
    try:
        # From here on the signals have our meaning; the child was forked with the usual ones.
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Loop(Agent(_python_version()), _listen(socket_path), child).run()
    except _Terminated:
        status = STATUS_TERMINATED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child.kill()
    return status


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _listen(path: str) -> Socket:
    """The name appears when connections are taken, and not before: whoever waits for it dials at once."""
    unready = path + ".new"
    for stale in (path, unready):
        _remove_stale(stale)
    listener = unix_socket()
    listener.bind(unready)
    os.chmod(unready, SOCKET_MODE)
    listener.listen(LISTEN_BACKLOG)
    os.rename(unready, path)
    return listener


def _remove_stale(path: str) -> None:
    """A socket that an earlier worker left; anything else is left alone, and `bind` says so."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
