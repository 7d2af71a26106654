"""The interpreter's stdout and stderr as the loop meets them: the pipes of today, and those of processes that earlier
evals left running."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial

from replwire.hints import Final
from replworker.agent.breach import InterpreterBreach
from replworker.agent.child import Child
from replworker.agent.core import Agent
from replworker.agent.pipes import DRAIN_BYTES_MAX, READ_BYTES, OutputPipe
from replworker.agent.text import STDERR, STDOUT
from replworker.agent.watches import Watches
from replworker.sockets import close_fds, receive_fds

LATE_PIPES_MAX: Final = 128
"""Pipes of processes that were left running; of more the oldest is closed, and who writes there is told by SIGPIPE."""

_STREAMS: Final = {1: STDOUT, 2: STDERR}


class OutputPipes:
    """Feeds the core with what is written; `carry_out` is called after each piece."""

    def __init__(self, agent: Agent, child: Child, watches: Watches, carry_out: Callable[[], None]) -> None:
        self._agent = agent
        self._channel = child.pipe_channel
        self._watches = watches
        self._carry_out = carry_out
        self._current = [OutputPipe(child.stdout_fd, STDOUT), OutputPipe(child.stderr_fd, STDERR)]
        self._late: list[OutputPipe] = []

    def watch(self) -> None:
        """Read them from now on."""
        for pipe in self._current:
            self._watch(pipe, agent_takes=self._agent.take_output)
        for pipe in self._late:
            self._watch(pipe, agent_takes=self._agent.take_late_output)

    def _watch(self, pipe: OutputPipe, *, agent_takes: Callable[[int, bytes], None]) -> None:
        if pipe.is_open:
            self._watches.watch(pipe.fd, partial(self._ready, pipe, agent_takes))

    def forget(self) -> None:
        """Leave them alone, so that their writers wait."""
        for pipe in (*self._current, *self._late):
            self._watches.forget(pipe.fd)

    def _ready(self, pipe: OutputPipe, agent_takes: Callable[[int, bytes], None], mask: int) -> None:
        data = pipe.read()
        if data:
            agent_takes(pipe.which, data)
            self._carry_out()
        elif not pipe.is_open:
            self._ended(pipe)

    def _ended(self, pipe: OutputPipe) -> None:
        self._watches.forget(pipe.fd)
        if pipe in self._late:
            self._late.remove(pipe)
            pipe.close()

    def drain(self) -> None:
        """Everything that is in the pipes now."""
        for pipe in self._current:
            self._empty(pipe, self._agent.take_output)
        for pipe in tuple(self._late):
            self._empty(pipe, self._agent.take_late_output)

    def _empty(self, pipe: OutputPipe, agent_takes: Callable[[int, bytes], None]) -> None:
        left_bytes = DRAIN_BYTES_MAX if pipe.is_open else 0
        while left_bytes > 0 and (data := pipe.read()):
            agent_takes(pipe.which, data)
            left_bytes -= len(data)
            if len(data) < READ_BYTES:
                break
        if not pipe.is_open:
            self._ended(pipe)

    def close(self) -> None:
        """Their interpreter is dead, and nobody is left who could write."""
        self.forget()
        for pipe in (*self._current, *self._late):
            pipe.close()

    def change(self) -> None:
        """The interpreter has new ones; the old ones stay with whoever still holds them. Raises `InterpreterBreach`."""
        try:
            numbers, fds = receive_fds(self._channel, len(_STREAMS))
        except OSError:
            raise InterpreterBreach("new pipes that did not come") from None
        are_pipes = all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in fds)
        if not are_pipes or len(numbers) != len(fds) or not set(numbers) <= _STREAMS.keys():
            close_fds(fds)
            raise InterpreterBreach("new pipes that are none, or of no stream")
        for number, fd in zip(numbers, fds, strict=True):
            self._replace(OutputPipe(fd, _STREAMS[number]))

    def _replace(self, new: OutputPipe) -> None:
        old = self._current[new.which]
        self._watches.forget(old.fd)
        self._current[new.which] = new
        self._watch(new, agent_takes=self._agent.take_output)
        if not old.is_open:
            old.close()
            return
        self._late.append(old)
        self._watch(old, agent_takes=self._agent.take_late_output)
        if len(self._late) > LATE_PIPES_MAX:
            self._ended(self._late[0])
