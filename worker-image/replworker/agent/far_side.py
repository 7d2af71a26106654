"""The interpreter as the loop meets it: its control socket, its snapshot children's channel, its pipes, its death."""

from __future__ import annotations

import time
from collections.abc import Callable

from replwire.frames import Flag, FrameError, Kind
from replwire.hints import Final
from replworker.agent.breach import InterpreterBreach
from replworker.agent.child import Child
from replworker.agent.connection import Connection
from replworker.agent.core import Agent
from replworker.agent.output_pipes import OutputPipes
from replworker.agent.standby import SHADOWS_MAX, Shadow, Standby
from replworker.agent.watches import WRITABLE, Watches
from replworker.packets import PacketReader

HANG_UP_GRACE_S: Final = 1.0
"""An interpreter whose sockets have ended has so long to be seen dead before it is killed for breaking them."""

LAST_WORDS_MAX: Final = 64
"""Reads of `RECEIVE_BYTES` from each socket of an interpreter that is dead; more than a socket holds."""

SHADOW_WITHIN_S: Final = 1.0
"""After the death of an interpreter: for the process that takes its last checkpoint to end, and its shadow to say where
it sleeps."""

WAKE_WITHIN_S: Final = 1.0
"""For a shadow to be the interpreter."""

_AFTER_OUTPUT: Final = frozenset((Kind.DONE, Kind.EMIT, Kind.ASK))
"""What these say comes after what was written before them."""


class _Phase:
    """Where it is in its life; from its death on it may begin another one."""

    LIVES: Final = 0
    HUNG_UP: Final = 1
    DEAD: Final = 2
    WAKES: Final = 3
    OVER: Final = 4


class FarSide:
    """Feeds the core with what the interpreter says and writes; `carry_out` is called after each change."""

    def __init__(self, agent: Agent, child: Child, watches: Watches, carry_out: Callable[[], None]) -> None:
        self._agent = agent
        self._child = child
        self._watches = watches
        self._carry_out = carry_out
        self.is_held_up = False
        self._connect(_Phase.LIVES, None)

    def _connect(self, phase: int, due: float | None) -> None:
        child = self._child
        self._control = Connection(child.control)
        self._states = Connection(child.state_channel)
        self._state_frames = PacketReader()
        self._pipes = OutputPipes(self._agent, child, self._watches, self._carry_out)
        self._standby = Standby(child.shadow_channel)
        self._phase = phase
        self.due = due
        """When it has had its time: to be seen dead, or to wake."""

    def start(self) -> None:
        """Listen to it."""
        self._watches.watch(self._child.pidfd, self._gone)
        self._watches.watch(self._states.fd, self._states_ready)
        self._watches.watch(self._standby.fd, self._shadows_ready)
        self._watch()

    def _watch(self) -> None:
        if self._phase in (_Phase.LIVES, _Phase.WAKES):
            self._watches.watch(self._control.fd, self._control_ready)
            if self._control.backlog_bytes:
                self._watches.want_room(self._control.fd, True)
        self._pipes.watch()

    def hold_up(self, is_held_up: bool) -> None:
        """Let it wait, or go on: it is not read, so that its `print` waits on a full pipe."""
        self.is_held_up = is_held_up
        if self._phase == _Phase.WAKES:
            return  # what it says first is waited for
        if not is_held_up:
            self._watch()
            return
        self._watches.forget(self._control.fd)
        self._pipes.forget()

    def send(self, frame: bytes) -> None:
        """A frame for it."""
        try:
            self._control.send(frame)
        except OSError:
            self._hung_up()
        if self._control.backlog_bytes:
            self._watches.want_room(self._control.fd, True)

    # --- frames -------------------------------------------------------------------------------------------------

    def _control_ready(self, mask: int) -> None:
        if mask & WRITABLE:
            self._flush()
        if mask != WRITABLE and self._phase in (_Phase.LIVES, _Phase.WAKES):
            self._receive_control()
            if self._phase == _Phase.WAKES:
                self._look_if_awake()

    def _flush(self) -> None:
        try:
            self._control.flush()
        except OSError:
            self._hung_up()
        if not self._control.backlog_bytes:
            self._watches.want_room(self._control.fd, False)

    def _receive_control(self) -> bool:
        """Take what came on the control socket; False when nothing did."""
        reader = self._control.reader
        # What is in the pipes when the first frame is there was written before it; for later frames we look again.
        is_drained = not reader.is_partial
        if is_drained and self._watches.others_are_ready:
            self._pipes.drain()
        data = self._control.receive()
        if not data:
            if data is not None:
                self._hung_up()
            return False
        now = time.monotonic()
        reader.feed(data)
        try:
            for frame in reader:
                if frame.kind in _AFTER_OUTPUT and not is_drained:
                    self._pipes.drain()
                is_drained = False
                self._agent.interpreter_frame(frame, now)
                if frame.flags & Flag.NEW_PIPES:
                    self._pipes.change()
        except (FrameError, InterpreterBreach) as error:
            self._agent.breached(str(error))
        self._carry_out()
        return True

    def _states_ready(self, mask: int) -> None:
        self._receive_states()
        if self._phase == _Phase.DEAD:
            self._decide()

    def _receive_states(self) -> bool:
        data = self._states.receive()
        if not data:
            if data is not None:
                self._watches.forget(self._states.fd)
                self._hung_up()
            return False
        now = time.monotonic()
        self._state_frames.feed(data)
        try:
            for frame in self._state_frames:
                self._agent.state_frame(frame, now)
        except FrameError as error:
            self._agent.breached(str(error))
        self._carry_out()
        # Now, and not when the eval has ended: to end a large process takes a processor for milliseconds.
        self._standby.forget_before(self._agent.state_seq)
        return True

    # --- its end ------------------------------------------------------------------------------------------------

    def _hung_up(self) -> None:
        """Dying, or a tenant closed a socket: the next moment tells."""
        self._watches.forget(self._control.fd)
        if self._phase == _Phase.LIVES:
            self._phase, self.due = _Phase.HUNG_UP, time.monotonic() + HANG_UP_GRACE_S

    def tick(self, now: float) -> None:
        """It closed a socket and lives on: that breaks the protocol. Or no shadow came, or none that wakes."""
        if self.due is None or now < self.due:
            return
        if self._phase == _Phase.HUNG_UP:
            self._agent.breached("the interpreter closed its socket")
        elif self._phase == _Phase.DEAD:
            self._decide(is_late=True)
        elif self._phase == _Phase.WAKES:
            self._end()

    def _gone(self, mask: int) -> None:
        """It is dead. What it had said before counts."""
        self._watches.forget(self._child.pidfd)
        if self._phase == _Phase.WAKES:
            self._receive_control()  # it may have said why
            self._end()
            return
        self._phase, self.due = _Phase.DEAD, time.monotonic() + SHADOW_WITHIN_S
        self._watches.others_are_ready = True
        self._agent.halt()
        for receive in (self._receive_control, self._receive_states):
            # Bounded: a process that it left behind may hold the socket and go on writing.
            for _ in range(LAST_WORDS_MAX):
                if self._agent.has_ended or not receive():
                    break
        for _ in range(SHADOWS_MAX):
            self._shadows_ready(0)
        if self._phase == _Phase.DEAD:
            self._decide()

    def _end(self) -> None:
        self._phase, self.due = _Phase.OVER, None
        self._child.kill()
        self._agent.died(*self._child.wait())
        self._carry_out()

    # --- its shadow ---------------------------------------------------------------------------------------------

    def _shadows_ready(self, mask: int) -> None:
        try:
            if not self._standby.receive():
                self._watches.forget(self._standby.fd)
        except InterpreterBreach as breach:
            self._agent.breached(str(breach))
            self._carry_out()
        if self._phase == _Phase.DEAD and mask:
            self._decide()

    def _decide(self, *, is_late: bool = False) -> None:
        """Whether the shadow takes over, or the worker ends. `is_late`: nobody is waited for any more."""
        seq = self._agent.shadow_seq
        shadow = self._standby.take(seq) if seq is not None else None
        if shadow is not None:
            self._wake(shadow)
        elif is_late or not self._agent.awaits_shadow or self._states.fd not in self._watches:
            # The process of a checkpoint, from which a shadow may still come, holds the channel of states.
            self._end()

    def _wake(self, shadow: Shadow) -> None:
        """Give it what it needs to be the interpreter; READY comes from it, or it ends."""
        self._child.kill()
        how = self._child.wait()
        self._disconnect()
        try:
            self._child.succeed(shadow.pid, shadow.pidfd, shadow.sock)
        except OSError:
            self._agent.died(*how)
            self._carry_out()
            return
        finally:
            shadow.sock.close()
        self._agent.fell(*how)
        self._connect(_Phase.WAKES, time.monotonic() + WAKE_WITHIN_S)
        self.start()

    def _disconnect(self) -> None:
        for fd in (self._control.fd, self._states.fd, self._standby.fd):
            self._watches.forget(fd)
        self._standby.forget_all()
        self._pipes.close()

    def _look_if_awake(self) -> None:
        if not self._agent.is_waking:
            self._phase, self.due = _Phase.LIVES, None
            if self.is_held_up:
                self.hold_up(True)
