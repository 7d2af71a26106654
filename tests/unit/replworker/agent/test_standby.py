"""What a shadow says of itself is checked: it comes out of the sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from replwire.frames import SEQ
from replworker.agent.breach import InterpreterBreach
from replworker.agent.standby import SHADOWS_MAX, Standby
from replworker.packets import packet_pair
from replworker.sockets import Socket, send_fds


class Scene:
    """The agent's end, and one that says what it likes."""

    def __init__(self) -> None:
        ours, self.theirs = packet_pair()
        self.standby = Standby(ours)
        self._ours = ours

    def says(self, data: bytes, fds: list[int]) -> None:
        """One word; the descriptors are closed here."""
        send_fds(self.theirs, data, fds)
        for fd in fds:
            os.close(fd)

    def sleeps(self, seq: int) -> Socket:
        """A shadow's own end."""
        its, agents = packet_pair()
        self.says(SEQ.pack(seq), [agents.detach(), os.pidfd_open(os.getpid())])
        return its

    def close(self) -> None:
        """All that is left."""
        self.standby.forget_all()
        self._ours.close()
        self.theirs.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A channel without a shadow."""
    made = Scene()
    yield made
    made.close()


def is_let_go(shadow: Socket) -> bool:
    """Whether nobody has the other end of a shadow's socket."""
    shadow.setblocking(False)
    try:
        return shadow.recv(1) == b""
    except BlockingIOError:
        return False


def test_one_is_taken_by_its_seq(scene):
    """With its process; the others are not it."""
    its = scene.sleeps(3)
    assert scene.standby.receive()
    assert scene.standby.take(2) is None
    shadow = scene.standby.take(3)
    assert (shadow.seq, shadow.pid) == (3, os.getpid())
    assert not is_let_go(its)
    shadow.let_go()
    assert is_let_go(its)


def test_older_ones_are_let_go(scene):
    """By a later seq, and by number."""
    first, second = scene.sleeps(1), scene.sleeps(2)
    assert scene.standby.receive() and scene.standby.receive()
    scene.standby.forget_before(2)
    assert (is_let_go(first), is_let_go(second)) == (True, False)
    more = [scene.sleeps(seq) for seq in range(3, 3 + SHADOWS_MAX)]
    for _ in more:
        scene.standby.receive()
    assert is_let_go(second)
    assert not any(map(is_let_go, more))


def test_nothing_was_said(scene):
    """The channel is open, then it is not."""
    assert scene.standby.receive()
    scene.theirs.close()
    assert not scene.standby.receive()


def test_one_that_has_ended_before_it_is_heard(scene):
    """The next checkpoint's process ends it: that may be before we come to read. It is none, and no breach."""
    its, agents = packet_pair()
    child = os.fork()
    if child == 0:
        os._exit(0)
    handle = os.pidfd_open(child)
    os.waitpid(child, 0)
    scene.says(SEQ.pack(3), [agents.detach(), handle])
    assert scene.standby.receive()
    assert scene.standby.take(3) is None
    assert is_let_go(its)


def _not_a_process() -> list[int]:
    return [packet_pair()[1].detach(), os.open(os.devnull, os.O_RDONLY)]


LIES = {
    "no descriptors": (SEQ.pack(1), list),
    "one": (SEQ.pack(1), lambda: [os.pidfd_open(os.getpid())]),
    "a file for a process": (SEQ.pack(1), _not_a_process),
    "a file for a socket": (
        SEQ.pack(1), lambda: [os.open(os.devnull, os.O_RDONLY), os.pidfd_open(os.getpid())],
    ),
    "half a number": (b"\0\0", lambda: [packet_pair()[1].detach(), os.pidfd_open(os.getpid())]),
    "the first process": (SEQ.pack(1), lambda: [packet_pair()[1].detach(), os.pidfd_open(1)]),
    "many descriptors": (SEQ.pack(1), lambda: [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]),
}  # fmt: skip


@pytest.mark.parametrize("title", LIES)
def test_a_malformed_word(scene, title):
    """It is a breach, and no descriptor is left open."""
    data, make = LIES[title]
    scene.says(data, make())
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InterpreterBreach):
        scene.standby.receive()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert not scene.standby.shadows
