"""The pipes on descriptors 1 and 2, from the writing side: what is held for each, where it goes, and new ones."""

from __future__ import annotations

import fcntl
import os
import select

from replwire.hints import NamedTuple
from replworker.sockets import put_in_place


class NewPipe(NamedTuple):
    """One that is not in its place yet."""

    reader: int
    writer: int
    own: int
    """Another open file of the writing end, which does not block: child processes must find theirs blocking."""

    def close(self) -> None:
        """It is not wanted any more."""
        for fd in self:
            os.close(fd)


def new_pipe() -> NewPipe:
    """Raises `OSError` when there are no descriptors left."""
    reader, writer = os.pipe()
    try:
        return NewPipe(reader, writer, _non_blocking(writer))
    except OSError:
        os.close(reader)
        os.close(writer)
        raise


def _non_blocking(fd: int) -> int:
    return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)


class Pipe:
    """One of the two descriptors, and what is held for it."""

    __slots__ = ("_mark", "fd", "held", "number", "poll")

    def __init__(self, number: int) -> None:
        self.number = number
        self.held = bytearray()
        self._mark = os.getpid()
        self._take(_non_blocking(number))

    def take_over(self, writer: int) -> None:
        """In a fork: this one stands in the place of both descriptors from now on."""
        self.held.clear()
        self._mark = os.getpid()
        put_in_place(writer, self.number, inheritable=True)
        put_in_place(_non_blocking(self.number), self.fd)
        self._take(self.fd)

    def _take(self, own: int) -> None:
        self.fd = own
        self.poll = select.poll()
        self.poll.register(own, select.POLLOUT)
        # Who gets signals of it: nobody asked for any. It goes with the open file, so it tells ours from others at the
        # fifth part of the price of `fstat`.
        fcntl.fcntl(self.number, fcntl.F_SETOWN, self._mark)

    def is_elsewhere(self) -> bool:
        """Whether the tenant has put another file in its place (`os.dup2`). If he has only closed it, ours stays."""
        try:
            return fcntl.fcntl(self.number, fcntl.F_GETOWN) != self._mark
        except OSError:
            return False

    def change(self, new: NewPipe) -> None:
        """From now on this one; its reading end is for the agent."""
        os.dup2(new.writer, self.number)
        os.close(new.writer)
        os.close(self.fd)
        self._take(new.own)
