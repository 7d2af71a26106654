"""A checkpoint of large state, taken in a forked child while the next eval may already run."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import marshal
import os
import select
from collections.abc import Mapping
from time import monotonic

from replwire.frames import SEQ, Kind, pack_frame
from replwire.hints import Any, Final, NamedTuple, NoReturn
from replworker.packets import send_frame
from replworker.plain_json import to_json
from replworker.snapshot import Snapshotter
from replworker.sockets import Socket

CHILD_S: Final = 60.0
"""A child that needs longer is killed, and the checkpoint counts as failed."""

INTERRUPT_AFTER_S: Final = 10.0
INTERRUPT_AGAIN_S: Final = 0.25
"""After so long a tenant's object that loops while it is pickled costs its name."""

_PIPE_BYTES: Final = 64 * 1024
_OOM_SCORE: Final = b"1000"
"""Where memory runs out, the child dies and not the session."""


class Taken(NamedTuple):
    """What the parent has to know of a checkpoint that its child has sent."""

    references: tuple[bytes, ...]
    state_bytes: int
    unsaved: dict[str, str]
    lesson: tuple[Any, ...]
    """For `Snapshotter.handed_over`."""


class SnapshotChild:
    """The child, from fork to its last word. Make it with `start`."""

    def __init__(self, seq: int, pid: int, pipe: int) -> None:
        self.seq = seq
        self.fd = pipe
        self._pid = pid
        self._said = bytearray()

    def has_news(self, *, within_s: float) -> bool:
        """Whether it says something in that time, or ends."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def finish(self) -> Taken | None:
        """Wait for it; None when it failed, and then the agent has no checkpoint."""
        self._read(monotonic() + CHILD_S)
        os.close(self.fd)
        try:
            os.kill(self._pid, _signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass  # a tenant that waits for all children has reaped it
        try:
            return Taken(*marshal.loads(self._said))
        except (EOFError, ValueError, TypeError):
            return None

    def _read(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while (left_s := deadline - monotonic()) > 0:
            if poll.poll(left_s * 1000):
                piece = os.read(self.fd, _PIPE_BYTES)
                if not piece:
                    return
                self._said += piece


def start(
    snapshotter: Snapshotter, sources: Mapping[str, str], state_channel: Socket, seq: int
) -> SnapshotChild | None:
    """Fork; None when the machine gives no further process."""
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return None
    if pid:
        os.close(writer)
        return SnapshotChild(seq, pid, reader)
    _run(snapshotter, sources, state_channel, seq, writer)


def _run(
    snapshotter: Snapshotter, sources: Mapping[str, str], state_channel: Socket, seq: int, writer: int
) -> NoReturn:
    status = 1
    try:
        _limit_itself()
        _send(snapshotter, sources, state_channel, seq, writer)
        status = 0
    finally:
        os._exit(status)


def _limit_itself() -> None:
    try:
        with open("/proc/self/oom_score_adj", "wb") as file:
            file.write(_OOM_SCORE)
    except OSError:
        pass
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGALRM, _interrupt)
    _signal.setitimer(_signal.ITIMER_REAL, INTERRUPT_AFTER_S, INTERRUPT_AGAIN_S)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _send(snapshotter: Snapshotter, sources: Mapping[str, str], state_channel: Socket, seq: int, writer: int) -> None:
    blocked = (_signal.SIGALRM,)

    def send(name: bytes, data: bytes) -> None:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, blocked)
        send_frame(state_channel, pack_frame(Kind.CHUNK, (name, data)))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, blocked)

    taken = snapshotter.take(sources, send)
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    references = b"".join(taken.references)
    parts = (SEQ.pack(seq), taken.manifest, references, to_json(taken.unsaved))
    send_frame(state_channel, pack_frame(Kind.STATE, parts))
    said = memoryview(marshal.dumps((taken.references, taken.state_bytes, taken.unsaved, snapshotter.lesson())))
    while said:
        said = said[os.write(writer, said) :]
