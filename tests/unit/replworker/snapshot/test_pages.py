"""What the kernel tells of this process's pages, with real forks and threads."""

import array
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
import pytest

from replworker.snapshot import pages
from replworker.snapshot.places import key_behind, key_of

BLOCK = 256 * 1024


TICK_S = 1 / os.sysconf("SC_CLK_TCK")
"""In which the kernel tells when a process was forked."""


def forked(does: Callable[[], object]) -> int:
    """A copy of this process that does that, until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            does()
            signal.pause()
        finally:
            os._exit(1)
    return pid


@contextmanager
def asleep() -> Iterator[int]:
    """A copy of this process that does nothing."""
    pid = forked(signal.pause)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def blocks_of(array):
    """Which blocks of an array are shared with a copy of this process."""
    address, size = array.ctypes.data, array.nbytes
    (entries,) = pages.page_states(os.getpid(), [(address, size)])
    return pages.shared_blocks(address, size, entries, BLOCK)


def array_on_pages_of_its_own(size):
    """Nothing else is on the pages of its edges, where Python would write while we ask."""
    beside = pages.PAGE_BYTES // 8
    return numpy.random.default_rng(1).random(size // 8 + 2 * beside)[beside:-beside]


@pytest.mark.parametrize("size", [3 * BLOCK, 3 * BLOCK + 8, 40 * BLOCK + 1000 * 8])
def test_written_blocks_are_found_exactly(size):
    """Each write shows in the block that it hit, and in its neighbour only where a page belongs to both."""
    array = array_on_pages_of_its_own(size)
    assert not any(blocks_of(array))
    with asleep():
        assert all(blocks_of(array))
        array[BLOCK // 8 + 5000] = 1.0
        found = blocks_of(array)
    assert [number for number, same in enumerate(found) if not same] == [1]
    assert not any(blocks_of(array))


def test_memory_that_others_write_to_is_never_called_unchanged():
    """Shared memory changes without a write of ours."""
    import mmap

    shared = mmap.mmap(-1, 4 * BLOCK)
    shared[:] = b"x" * (4 * BLOCK)
    address = numpy.frombuffer(shared, "u1").__array_interface__["data"][0]
    with asleep():
        (entries,) = pages.page_states(os.getpid(), [(address, 4 * BLOCK)])
    assert not any(pages.shared_blocks(address, 4 * BLOCK, entries, BLOCK))


def test_alone_is_whoever_sees_nobody_else():
    """A live process that is not among those that are known is seen; a dead one that nobody waited for is none."""
    seen = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    pid = forked(signal.pause)
    try:
        known = {int(name) for name in os.listdir("/proc") if name.isdigit()} | seen
        assert pages.is_alone(known) or set(map(int, filter(str.isdigit, os.listdir("/proc")))) - known
        assert not pages.is_alone(known - {pid})
    finally:
        os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert pages._is_dead(pages._stat(str(pid)))
    os.waitpid(pid, 0)
    assert pages._is_dead(pages._stat(str(pid)))


def test_who_came_later_was_not_there():
    """What a process finds that is asked of its own fork: an older one is seen, a younger one is not."""
    older = forked(signal.pause)
    time.sleep(2 * TICK_S)
    answers, told = os.pipe()

    def ask() -> None:
        known = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        younger = forked(signal.pause)
        time.sleep(2 * TICK_S)
        is_younger_seen = not pages.was_alone(known)
        answer = bytes((is_younger_seen, not pages.was_alone(known - {older}), not pages.is_alone(known)))
        os.kill(younger, signal.SIGKILL)
        os.write(told, answer)

    asking = forked(ask)
    try:
        assert os.read(answers, 3) == b"\0\1\1"
    finally:
        for pid in (older, asking):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for fd in (answers, told):
            os.close(fd)


def test_ancestors_are_found():
    """Up to where they can be seen."""
    assert {os.getpid(), os.getppid()} <= pages.ancestors()


def wait_until_asleep(thread: threading.Thread) -> None:
    """The kernel says that it sleeps."""
    deadline = time.monotonic() + 5
    status = Path(f"/proc/self/task/{thread.native_id}/status")
    while "S (sleeping)" not in status.read_text():
        assert time.monotonic() < deadline


def test_a_thread_that_ran_meanwhile_shows():
    """Two equal answers mean that no other thread ran between them."""
    turns, done, stop = threading.Semaphore(0), threading.Semaphore(0), threading.Event()

    def work() -> None:
        while not stop.is_set():
            turns.acquire()
            done.release()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_until_asleep(thread)
    before = pages.other_threads(os.getpid())
    assert before and pages.other_threads(os.getpid()) == before
    turns.release()
    done.acquire()
    wait_until_asleep(thread)
    assert pages.other_threads(os.getpid()) != before
    stop.set()
    turns.release()
    thread.join()


def test_a_thread_that_is_awake_gives_no_answer():
    """Or not the same one for long."""
    spinning, end = threading.Event(), threading.Event()

    def spin() -> None:
        spinning.set()
        while not end.is_set():
            pass

    busy = threading.Thread(target=spin)
    busy.start()
    spinning.wait()
    answers = [pages.other_threads(os.getpid()) for _ in range(50)]
    end.set()
    busy.join()
    assert None in answers or len({str(answer) for answer in answers}) > 1


def test_the_array_behind_a_view_is_found():
    """By its whole memory only; of what has none of its own, nothing."""
    base = numpy.arange(12.0).reshape(3, 4)
    own = base.copy()
    assert key_of(own) == key_behind(own) == key_behind(own.T) == (own.ctypes.data, own.nbytes, id(own))
    assert key_behind(own[1:]) is None and key_of(own.T) is None
    assert key_of(numpy.frombuffer(bytes(80))) is None and key_behind(bytearray(80)) is None
    assert key_behind(own.view(numpy.recarray)) is None


def test_the_bytes_behind_a_restored_array_are_found():
    """A pickle's buffer becomes the memory of an array, in whatever order that shows it."""
    held = bytearray(96)
    restored = numpy.frombuffer(held).reshape(3, 4, order="F")
    assert key_behind(restored) == key_behind(restored.T) == (restored.ctypes.data, 96, id(held))
    assert key_behind(restored[:2]) is None and key_of(restored) is None
    assert key_behind(numpy.frombuffer(memoryview(held).toreadonly())) is not None
    assert key_behind(numpy.frombuffer(array.array("d", range(4)))) is None
    alone = numpy.frombuffer(held)
    alone.base.release()
    assert key_behind(alone) is None


def test_a_map_that_is_empty_or_too_short_tells_of_nothing():
    """That of a process that has died meanwhile is read as nothing: no block of it counts as shared."""
    size = 4 * pages.PAGE_BYTES
    entry = bytes(7) + pages.SHARED

    def shared(entries):
        return pages.shared_blocks(pages.PAGE_BYTES, size, entries, 2 * pages.PAGE_BYTES)

    assert shared(4 * entry) == (True, True)
    assert shared(3 * entry) == (True, False)
    assert shared(b"") == (False, False)
    assert not pages.is_inside_shared(pages.PAGE_BYTES, size, b"")
