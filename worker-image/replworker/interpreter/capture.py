"""`sys.stdout` and `sys.stderr`: text goes to file descriptors 1 and 2, where C code and child processes write too.

Writes go through at once up to `WRITES_AT_ONCE` in `HOLD_S`; above that rate up to `HELD_BYTES_MAX` or `HOLD_S` are
held together. The agent reads two pipes, so at each change of stream the other pipe is read empty first: the order of
stdout and stderr is exact. Nothing is dropped; a pipe that is full makes the writer wait.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
from _thread import RLock, allocate_lock, start_new_thread
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep

from replwire.hints import Final
from replworker.interpreter.gate import Gate
from replworker.interpreter.pipes import NewPipe, Pipe, new_pipe
from replworker.sockets import Socket, send_fds

WRITES_AT_ONCE: Final = 32
HOLD_S: Final = 0.010
HELD_BYTES_MAX: Final = 64 * 1024

FLUSHER_ROUNDS: Final = 5
"""Rounds of `HOLD_S` without anything held after which the flusher's thread ends."""

DRAIN_PAUSE_S: Final = 0.00002
DRAIN_PAUSE_MAX_S: Final = 0.001

ELSEWHERE_S: Final = 1.0
"""So long a full pipe of the tenant's own is waited for when the eval has ended."""

STDOUT: Final = 1
STDERR: Final = 2

_FIONREAD: Final = 0x541B
"""`termios.FIONREAD`; the module is not worth its memory."""


class Capture:
    """Both pipes; every method may be called from any thread."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._lock = RLock()
        self.stdout = Pipe(STDOUT)
        self.stderr = Pipe(STDERR)
        self._last = self.stdout
        self._window_ends = 0.0
        self._writes = 0
        self._is_busy = False
        self._late: deque[tuple[Pipe, bytes]] = deque()
        """What signal handlers and finalizers of the tenant's wrote while the same thread was in here already."""
        self._flusher = allocate_lock()
        """Held while the flusher's thread lives."""
        self._stop = allocate_lock()
        """Let go of to end it; taken at all other times."""
        self._stop.acquire()
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._in_child)

    def put(self, pipe: Pipe, data: bytes) -> None:
        """Write; an interrupt may come while it waits for room."""
        with self._lock:
            if self._is_busy:
                self._late.append((pipe, data))
                return
            try:
                self._is_busy = True
                if pipe is not self._last:
                    self._change_to(pipe)
                pipe.held += data
                if self._is_too_fast() and len(pipe.held) < HELD_BYTES_MAX:
                    self._start_flusher()
                else:
                    self._flush(pipe)
                if self._late:
                    self._put_late()
            finally:
                self._is_busy = False

    def _change_to(self, pipe: Pipe) -> None:
        self._settle(self._last)
        self._last = pipe

    def _put_late(self) -> None:
        while self._late:
            pipe, data = self._late.popleft()
            if pipe is not self._last:
                self._change_to(pipe)
            pipe.held += data
            self._flush(pipe)

    def flush(self) -> None:
        """Everything that is held goes out; the pipe that was written to last comes last."""
        self._carry_out(self._flush)

    def say(self, text: str) -> None:
        """On stderr, past whatever the tenant has put there."""
        self.stderr.poll.poll()
        os.write(self.stderr.fd, text.encode())

    def settle(self) -> None:
        """The same, and wait until the agent has read it."""
        self._carry_out(self._settle)

    def change_pipes(self, channel: Socket) -> bool:
        """New ones, whose reading ends go to the agent: what holds the old ones writes apart from later evals. False
        when there are no descriptors left."""
        with self._lock:
            pipes = [pipe for pipe in (self.stdout, self.stderr) if not pipe.is_elsewhere()]
            made: list[NewPipe] = []
            try:
                made.extend(new_pipe() for _ in pipes)
            except OSError:
                for new in made:
                    new.close()
                return False
            send_fds(channel, bytes(pipe.number for pipe in pipes), [new.reader for new in made])
            for pipe, new in zip(pipes, made, strict=True):
                pipe.change(new)
                os.close(new.reader)
        return True

    def take_over(self, stdout: int, stderr: int) -> None:
        """In a fork: these pipes stand in the place of ours from now on."""
        self._is_busy = False
        self._late.clear()
        for pipe, writer in ((self.stdout, stdout), (self.stderr, stderr)):
            pipe.take_over(writer)

    def _carry_out(self, step: Callable[[Pipe], None]) -> None:
        with self._lock:
            if self._is_busy:
                return
            try:
                self._is_busy = True
                self._put_late()
                step(self._last)
            finally:
                self._is_busy = False

    def _is_too_fast(self) -> bool:
        now = monotonic()
        if now >= self._window_ends:
            self._window_ends = now + HOLD_S
            self._writes = 0
        self._writes += 1
        return self._writes > WRITES_AT_ONCE

    def _settle(self, pipe: Pipe) -> None:
        """Send what is held, and wait until the agent has read it."""
        self._flush(pipe)
        pause_s = DRAIN_PAUSE_S
        while fcntl.ioctl(pipe.fd, _FIONREAD, b"\0\0\0\0") != b"\0\0\0\0":
            sleep(pause_s)
            pause_s = min(DRAIN_PAUSE_MAX_S, pause_s * 2)

    def _flush(self, pipe: Pipe) -> None:
        if pipe.held and pipe.is_elsewhere():
            self._flush_elsewhere(pipe)
        while pipe.held:
            if not self._write(pipe.fd, pipe.held, pipe.held):
                self._wait_for_room(pipe)

    def _flush_elsewhere(self, pipe: Pipe) -> None:
        """To the tenant's own file, which may block: no more at once than what is sure not to. Raises `OSError`."""
        poll = select.poll()
        poll.register(pipe.number, select.POLLOUT)
        try:
            while pipe.held:
                # Nothing interrupts what is still held when the eval has ended.
                if not poll.poll(None if self._gate.is_open else ELSEWHERE_S * 1000):
                    raise BlockingIOError(errno.EAGAIN, "nobody reads it")
                self._write(pipe.number, pipe.held, pipe.held[: select.PIPE_BUF])
        except BaseException:
            pipe.held.clear()
            raise

    def _write(self, fd: int, held: bytearray, data: bytearray) -> bool:
        """As much as it takes at once; whether it took anything. What it took is never forgotten."""
        gate = self._gate
        is_main = gate.is_main
        if is_main:
            gate.defers = True
        try:
            del held[: os.write(fd, data)]
        except BlockingIOError:
            return False
        finally:
            if is_main:
                gate.resume()
        return True

    def _wait_for_room(self, pipe: Pipe) -> None:
        try:
            pipe.poll.poll()
        except KeyboardInterrupt:
            # The rest of a print that was interrupted: what other prints had left in front of it is kept.
            del pipe.held[HELD_BYTES_MAX:]
            raise

    # --- the flusher: sends what is held when nobody writes any more ----------------------------------------------

    def _start_flusher(self) -> None:
        if self._flusher.acquire(blocking=False):
            start_new_thread(self._flush_late, ())

    def _flush_late(self) -> None:
        idle_rounds = 0
        try:
            while idle_rounds < FLUSHER_ROUNDS and not self._stop.acquire(timeout=HOLD_S):
                idle_rounds = 0 if self._last.held else idle_rounds + 1
                self.flush()
        finally:
            self._flusher.release()

    def _before_fork(self) -> None:
        """A copy of this process must hold nothing that this one will send, and no lock that nobody there lets go."""
        self._stop_flusher()
        self._lock.acquire()
        self.flush()

    def _stop_flusher(self) -> None:
        if not self._flusher.locked():
            return
        self._stop.release()
        while self._flusher.locked():
            sleep(DRAIN_PAUSE_S)
        self._stop.acquire(blocking=False)

    def _after_fork(self) -> None:
        self._lock.release()

    def _in_child(self) -> None:
        self._lock = RLock()
        self._flusher = allocate_lock()
