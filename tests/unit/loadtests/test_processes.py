"""What `/proc` says, asked about processes of the test's own."""

import os
import subprocess
import sys
import time

import pytest

from loadtests.processes import PeakMemory, cpu_s, descendants, parent_of, proportional_bytes

FORKS = "import os, sys; os.fork(); print(flush=True); sys.stdin.read()"


@pytest.fixture
def child():
    """A Python that has a child itself, and waits."""
    with subprocess.Popen([sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"\n", b"\n"]
        yield process.pid


def test_children_and_theirs_are_found(child):
    """And not the process itself."""
    (grandchild,) = descendants(child)
    assert parent_of(grandchild) == child
    assert {child, grandchild} <= descendants(os.getpid())
    assert os.getpid() not in descendants(os.getpid())


def test_memory_that_two_share_is_counted_once(child):
    """PSS of a process and of its fork are together about what one of them needs."""
    (grandchild,) = descendants(child)
    assert 1e6 < proportional_bytes(child) + proportional_bytes(grandchild) < 20e6


def test_cpu_time_grows():
    """While this process computes."""
    before, end = cpu_s(os.getpid()), time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0.03 <= cpu_s(os.getpid()) - before < 5


def test_a_peak_is_seen_although_it_is_over():
    """Memory that was given back again."""
    peak = PeakMemory(os.getpid())
    len(bytearray(b"x") * 50_000_000)
    assert 45e6 < peak.growth_bytes() < 200e6
