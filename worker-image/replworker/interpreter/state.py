"""The session's state: restored once, checkpointed after each numbered request."""

from __future__ import annotations

import os
from _contextvars import Context
from collections.abc import Callable, Mapping
from time import monotonic, sleep

from replwire.frames import SEQ, Flag, Kind, pack_frame
from replwire.hints import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn
from replworker.interpreter import spare
from replworker.interpreter.channel import Channel
from replworker.interpreter.children import Children
from replworker.interpreter.gate import Gate
from replworker.interpreter.snapshot_child import SnapshotChild, Work, start
from replworker.interpreter.sources import Sources
from replworker.packets import send_frame
from replworker.plain_json import to_json
from replworker.snapshot import (
    Checkpoint,
    ForkMoment,
    RestoreError,
    RestoreReport,
    SnapshotLimits,
    Snapshotter,
    restore,
)
from replworker.snapshot.kinds import is_lost_in_fork
from replworker.sockets import Socket

if TYPE_CHECKING:
    from replworker.snapshot.tracking import Tracker

INTERRUPT_AFTER_S: Final = 1.0
"""An interrupt that comes earlier was meant for the eval, which has ended; a later one costs the name in hand."""

RESTORE_INTERRUPT_AFTER_S: Final = 15.0
RESTORE_INTERRUPT_AGAIN_S: Final = 2.0
"""After so long a tenant's object or module that loops while it is read costs its name; a front door waits longer."""

DYING_S: Final = 0.02
"""For processes that were killed to be gone."""

CHECKPOINT_FAILED_STATUS: Final = 71
"""Exit status (`EX_OSERR`) when no checkpoint can be made: the session goes on from the one before, elsewhere."""


class State(NamedTuple):
    """What DONE says of a checkpoint."""

    manifest: bytes = b""
    references: bytes = b""
    unsaved: dict[str, str] = {}  # noqa: RUF012 - never changed
    flags: int = 0


class StateKeeper:
    """Checkpoints of one namespace. Make it when the process is as tenants find it, before any of their code runs."""

    def __init__(
        self, namespace: dict[str, Any], *, channel: Channel, state_channel: Socket, shadow_channel: Socket,
        work_folder: str, injected: Mapping[str, object], gate: Gate, context: Context, sources: Sources,
        children: Children,
    ) -> None:  # fmt: skip
        self._namespace = namespace
        self._channel = channel
        self._state_channel = state_channel
        self._shadow_channel = shadow_channel
        self._work_folder = work_folder
        self._injected = injected
        self._gate = gate
        self._context = context
        """Where the tenant's decimal context is, and what his objects find while they are pickled."""
        self._sources = sources
        self._children = children
        self._child: SnapshotChild | None = None
        self._shadow: SnapshotChild | None = None
        """The child before, as far as it has left a shadow."""
        self._tracker: Tracker | None = None
        self._moment = ForkMoment()
        self.unsaved: dict[str, str] = {}
        """Of the last checkpoint."""
        self.is_kept = False
        """Whether there is one at all."""
        self._snapshotter = self._new_snapshotter(SnapshotLimits())

    def _new_snapshotter(self, limits: SnapshotLimits) -> Snapshotter:
        return Snapshotter(
            self._namespace, work_folder=self._work_folder, limits=limits, injected=self._injected,
            moment=self._moment,
        )  # fmt: skip

    @property
    def child_fd(self) -> int | None:
        """Readable when the child that takes a checkpoint has something to say: then call `collect`."""
        return self._child.fd if self._child is not None else None

    def limit(self, files_max: int, state_bytes_max: int) -> None:
        """See `replwire.limits`; before the first checkpoint."""
        limits = SnapshotLimits(files_max=files_max, state_bytes_max=state_bytes_max)
        self._snapshotter = self._new_snapshotter(limits)

    def rehearse(self) -> None:
        """A checkpoint that nobody gets; the next one knows nothing of it."""
        self._snapshotter.take(self._sources.texts)
        self._snapshotter = self._new_snapshotter(SnapshotLimits())

    def expect(self, chunks: int) -> None:
        """A state of so many chunks is on its way: what its next checkpoint needs is loaded meanwhile."""
        self._snapshotter.expect(chunks)

    def restore(self, manifest: bytes, chunks: Mapping[bytes, bytes], *, reseed: bool = False) -> dict[str, Any]:
        """What RESTORED says. `reseed`: the state is a copy of another session's, which must not draw the same."""
        if not manifest:
            return {"unsaved": {}}
        self._gate.open_with_timer(RESTORE_INTERRUPT_AFTER_S, RESTORE_INTERRUPT_AGAIN_S)
        try:
            report = self._restored(manifest, chunks, reseed)
        except RestoreError as error:
            return {"error": {"code": error.code, "message": str(error)}}
        except KeyboardInterrupt:
            return {"error": {"code": "timeout", "message": "the restore took too long"}}
        finally:
            self._gate.stop_timer()
        for filename, text in report.sources.items():
            self._sources.add(filename, text)
        self._snapshotter.restored(report.references)
        self.unsaved, self.is_kept = dict(report.unsaved), True
        return {"unsaved": self.unsaved}

    def _restored(self, manifest: bytes, chunks: Mapping[bytes, bytes], reseed: bool) -> RestoreReport:
        return self._context.run(
            restore, manifest, chunks, self._namespace, work_folder=self._work_folder, injected=self._injected,
            reseed=reseed,
        )  # fmt: skip

    def settle(self, *, within_s: float) -> bool:
        """Hear the child if it ends in that time: whether what is known is what the last eval left."""
        if self._child is not None and self._child.has_news(within_s=within_s):
            self.collect(is_current=True)
        return self._child is None

    def let_folder_change(self) -> None:
        """Wait until the child, if there is one, has the working folder as the last eval left it."""
        if self._child is not None:
            self._child.has_read_folder()

    # --- the shadow ---------------------------------------------------------------------------------------------

    def why_not(self, dead: int) -> str:
        """In the shadow: what the checkpoint does not hold and the interpreter, that process, may have changed since;
        empty when there is nothing. It is dead."""
        tracker = self._tracker
        assert tracker is not None, "a shadow that nobody asked for"
        tracker.take_over(dead)
        if shared := tracker.shared_memory():
            return f"shared memory: {shared}"
        if not _comes_true(tracker.is_alone):
            return "a process that was left running"
        return "" if self._snapshotter.is_folder_as_kept() else "the working folder has changed"

    def take_over(self, unsaved: dict[str, str]) -> dict[str, str]:
        """This process, the shadow, is the interpreter from now on; `unsaved`: of its checkpoint. What of that is lost:
        a fork does not have it, or has it closed."""
        for old in (self._child, self._shadow):
            if old is not None:
                old.release(kills=False)
        self._child = self._shadow = None
        self._snapshotter.forked()
        self.unsaved = unsaved
        return {name: reason for name, reason in unsaved.items() if is_lost_in_fork(reason)}

    # --- checkpoints --------------------------------------------------------------------------------------------

    def checkpoint(self, seq: int) -> State:
        """Of the state after `seq`; its chunks have been sent, or a child sends it all."""
        self.collect(is_current=False)
        self.is_kept = True
        if self._snapshotter.wants_fork():
            self._child = self._fork(seq)
            if self._child is not None:
                return State(flags=Flag.STATE_FOLLOWS)
        self._end_shadow(kills=True)
        taken = self._taken()
        self._channel.send_chunks(taken.chunks)
        self.unsaved = taken.unsaved
        return State(taken.manifest, b"".join(taken.references), taken.unsaved)

    def _fork(self, seq: int) -> SnapshotChild | None:
        """A child; the shadow has served when it is forked, and is of no use if it could not be."""
        tracker = self._tracker = self._snapshotter.prepare_fork()
        work = Work(
            self._snapshotter, tracker, self._sources.texts, state_channel=self._state_channel,
            shadow_channel=self._shadow_channel, seq=seq, before=self._shadow,
        )  # fmt: skip
        child = self._context.run(start, work)
        self._end_shadow(kills=child is None)
        return child

    def _end_shadow(self, *, kills: bool) -> None:
        """`kills`: no child was forked that does."""
        shadow, self._shadow = self._shadow, None
        if shadow is not None:
            shadow.release(kills=kills)
        if self._tracker is not None:
            self._tracker.forget()

    def collect(self, *, is_current: bool) -> None:
        """Hear the child's last word, and wait for it.

        `is_current`: nothing ran since it was forked, so that its checkpoint can be taken here if it failed.
        """
        child, self._child = self._child, None
        if child is None:
            return
        told = child.finish()
        self._children.forget()
        if told is not None:
            self._snapshotter.handed_over(told.references, state_bytes=told.state_bytes, lesson=told.lesson)
            self.unsaved = told.unsaved
            self._shadow = child
            if self._tracker is not None:
                self._tracker.learn(told.shadow, told.placed)
        elif is_current:
            self._send_state(child.seq, self._taken())
        else:
            _give_up("the child that took the checkpoint failed, and its state is gone")

    def _send_state(self, seq: int, taken: Checkpoint) -> None:
        for chunk in taken.chunks:
            send_frame(self._state_channel, pack_frame(Kind.CHUNK, chunk))
        parts = (SEQ.pack(seq), taken.manifest, b"".join(taken.references), to_json(taken.unsaved))
        send_frame(self._state_channel, pack_frame(Kind.STATE, parts))
        self.unsaved = taken.unsaved

    def _taken(self) -> Checkpoint:
        """In place; a second time with the descriptors that tenants do not get, in case those were all used up."""
        try:
            return self._take_once()
        except BaseException:
            self._gate.close()
        spare.lend()
        try:
            return self._take_once()
        except BaseException as error:
            _give_up(f"no checkpoint can be made: {type(error).__name__}")
        finally:
            spare.keep_back()

    def _take_once(self) -> Checkpoint:
        """A tenant's object that loops is interrupted when the eval's time is over."""
        self._gate.open(after_s=INTERRUPT_AFTER_S)
        try:
            return self._context.run(self._snapshotter.take, self._sources.texts)
        finally:
            self._gate.close()


def _comes_true(question: Callable[[], bool]) -> bool:
    """Within `DYING_S`."""
    deadline = monotonic() + DYING_S
    while not (is_true := question()) and monotonic() < deadline:
        sleep(DYING_S / 20)
    return is_true


def _give_up(reason: str) -> NoReturn:
    os.write(2, f"{reason}\n".encode())
    os._exit(CHECKPOINT_FAILED_STATUS)
