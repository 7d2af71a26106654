"""A checkpoint of large state, taken in a forked child while the next eval may already run."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import marshal
import os
import select
import struct
from collections.abc import Callable, Mapping
from time import monotonic

from replwire.frames import SEQ, Kind, pack_frame
from replwire.hints import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn
from replworker.interpreter import shadow
from replworker.packets import send_frame
from replworker.plain_json import to_json
from replworker.snapshot import Checkpoint, Snapshotter
from replworker.sockets import Socket

if TYPE_CHECKING:
    from replworker.snapshot.buffers import Placed
    from replworker.snapshot.tracking import Tracker

CHILD_S: Final = 60.0
"""A child that needs longer is killed, and the checkpoint counts as failed."""

INTERRUPT_AFTER_S: Final = 10.0
INTERRUPT_AGAIN_S: Final = 0.25
"""After so long a tenant's object that loops while it is pickled costs its name."""

_PIPE_BYTES: Final = 64 * 1024
_LENGTH: Final = struct.Struct("<Q")
"""Of the last word, before it."""

_OOM_SCORE: Final = b"1000"
"""Where memory runs out, the child dies and not the session."""


class Taken(NamedTuple):
    """What the parent has to know of a checkpoint that its child has sent."""

    references: tuple[bytes, ...]
    state_bytes: int
    unsaved: dict[str, str]
    lesson: tuple[Any, ...]
    """For `Snapshotter.handed_over`."""
    placed: tuple[Placed, ...]
    """For `Tracker.learn`."""
    shadow: int
    """Process id of the child's own child that stays, asleep; 0: none."""


class SnapshotChild:
    """The child, from fork to its last word. Make it with `start`."""

    def __init__(self, seq: int, pid: int, pipe: int, reading: int) -> None:
        self.seq = seq
        self.fd = pipe
        self._reading: int | None = reading
        self._pid = pid
        self._said = bytearray()
        self._shadow_pidfd: int | None = None
        self._shadow_pid = 0

    def has_news(self, *, within_s: float) -> bool:
        """Whether it says something in that time, or ends."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def has_read_folder(self) -> None:
        """Wait until it has read the working folder, which is not its own, or has ended."""
        if self._reading is not None:
            poll = select.poll()
            poll.register(self._reading, 0)
            poll.poll(CHILD_S * 1000)
            self.let_folder_change()

    def let_folder_change(self) -> None:
        """It has read the folder, or will not."""
        shadow.close(self._reading)
        self._reading = None

    def finish(self) -> Taken | None:
        """Wait for it; None when it failed, and then the agent has no checkpoint.

        A shadow that it left lives until `release`.
        """
        self.has_read_folder()
        self._read(monotonic() + CHILD_S)
        try:
            os.kill(self._pid, _signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass  # a tenant that waits for all children has reaped it
        try:
            taken = Taken(*marshal.loads(memoryview(self._said)[_LENGTH.size :]))
        except (EOFError, ValueError, TypeError):
            return None
        self._shadow_pid, self._shadow_pidfd = taken.shadow, shadow.handle(taken.shadow)
        return taken

    def release(self, *, kills: bool) -> None:
        """Nothing more is wanted of it: its shadow ends, when nobody else holds on to it or because it is killed.

        By a handle: a process id may be another's by now.
        """
        if self._shadow_pidfd is not None and kills:
            shadow.kill(self._shadow_pidfd, self._shadow_pid)
        for fd in (self._shadow_pidfd, self.fd):
            shadow.close(fd)

    def _read(self, deadline: float) -> None:
        """Until its last word, or its end: a shadow of its holds the pipe on."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self._has_said_all() and (left_s := deadline - monotonic()) > 0:
            if poll.poll(left_s * 1000):
                piece = os.read(self.fd, _PIPE_BYTES)
                if not piece:
                    return
                self._said += piece

    def _has_said_all(self) -> bool:
        said = self._said
        return len(said) >= _LENGTH.size and len(said) >= _LENGTH.size + _LENGTH.unpack_from(said)[0]


class Work:
    """What a child has to do.

    `before` is the child before, as far as it has left a shadow: the new one ends that, at a moment when nobody waits.
    """

    __slots__ = ("before", "seq", "shadow_channel", "snapshotter", "sources", "state_channel", "tracker")

    def __init__(
        self, snapshotter: Snapshotter, tracker: Tracker, sources: Mapping[str, str], *, state_channel: Socket,
        shadow_channel: Socket, seq: int, before: SnapshotChild | None,
    ) -> None:  # fmt: skip
        self.snapshotter = snapshotter
        self.tracker = tracker
        self.sources = sources
        self.state_channel = state_channel
        self.shadow_channel = shadow_channel
        self.seq = seq
        self.before = before


def start(work: Work) -> SnapshotChild | None:
    """Fork; None when the machine gives no further process, or no descriptors. Raises `Woken` in the shadow."""
    fds: list[int] = []
    try:
        fds += os.pipe()
        fds += os.pipe()
        pid = os.fork()
    except OSError:
        for fd in fds:
            os.close(fd)
        return None
    finally:
        work.tracker.settle()
    reader, writer, reading, is_reading = fds
    for fd in (writer, is_reading) if pid else (reader, reading):
        os.close(fd)
    if pid:
        child = SnapshotChild(work.seq, pid, reader, reading)
        if work.snapshotter.is_folder_empty:
            child.let_folder_change()
        return child
    _run(work, writer, is_reading)


def _run(work: Work, writer: int, is_reading: int) -> NoReturn:
    """`is_reading` is closed when the working folder may change again."""
    try:
        undo = _limit_itself()
        taken = _send(work, lambda: os.close(is_reading))
        if work.before is not None:
            # Early: while two are there, the next checkpoint believes nothing.
            work.before.release(kills=True)
        _leave(taken, work, writer)
    except shadow.Woken as woken:
        woken.undo, woken.unsaved = undo, taken.unsaved
        raise
    except BaseException:
        os._exit(1)
    os._exit(0)


def _limit_itself() -> Callable[[], None]:
    """What takes all of it back, but for timers, which no fork inherits."""
    gc.freeze()  # to collect what the parent had would be to copy all of it
    oom_score = _change_oom_score(_OOM_SCORE)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    on_alarm = _signal.signal(_signal.SIGALRM, _interrupt)
    _signal.setitimer(_signal.ITIMER_REAL, INTERRUPT_AFTER_S, INTERRUPT_AGAIN_S)

    def undo() -> None:
        gc.unfreeze()
        _change_oom_score(oom_score)
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL if on_alarm is None else on_alarm)

    return undo


def _change_oom_score(score: bytes) -> bytes:
    """What it was; the same where it can be neither read nor changed."""
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
            before = file.read(16)
            file.write(score)
    except OSError:
        return score
    return before


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _send(work: Work, folder_read: Callable[[], None]) -> Checkpoint:
    blocked = (_signal.SIGALRM,)

    def send(name: bytes, data: bytes) -> None:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, blocked)
        send_frame(work.state_channel, pack_frame(Kind.CHUNK, (name, data)))
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, blocked)

    work.snapshotter.forked()
    taken = work.snapshotter.take(work.sources, send, folder_read)
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    parts = (SEQ.pack(work.seq), taken.manifest, b"".join(taken.references), to_json(taken.unsaved))
    send_frame(work.state_channel, pack_frame(Kind.STATE, parts))
    return taken


def _leave(taken: Checkpoint, work: Work, writer: int) -> None:
    """The last word. Where a shadow pays, one is forked that says it, and stays."""
    placed = work.tracker.worth_keeping(work.snapshotter.placed)
    forked = shadow.fork_off() if placed else None
    is_shadow = forked == 0
    if forked:
        return
    kept = (tuple(placed), os.getpid()) if is_shadow else ((), 0)
    said = marshal.dumps((taken.references, taken.state_bytes, taken.unsaved, work.snapshotter.lesson(), *kept))
    _write(writer, _LENGTH.pack(len(said)) + said)
    if is_shadow:
        shadow.sleep(work.seq, work.shadow_channel)


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(pipe, rest) :]
    except BrokenPipeError:
        pass  # the interpreter is dead, and its shadow may be wanted all the more
