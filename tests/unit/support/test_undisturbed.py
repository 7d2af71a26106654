"""What watches a server during an abuse sees a peak that is over, and a neighbour who is left waiting."""

import os

import pytest

from support.undisturbed import forget_peak, peak_bytes

MIB = 1024 * 1024


def test_a_peak_is_seen_although_it_is_over() -> None:
    """And forgotten when it is measured anew."""
    before = forget_peak(os.getpid())
    block = bytearray(os.urandom(MIB)) * 64
    del block
    assert peak_bytes(os.getpid()) - before > 60 * MIB
    assert peak_bytes(os.getpid()) - forget_peak(os.getpid()) > 30 * MIB
    assert peak_bytes(os.getpid()) - forget_peak(os.getpid()) < 30 * MIB


def test_a_process_that_is_gone_is_an_error() -> None:
    """And no memory of 0 bytes."""
    with pytest.raises(OSError):
        forget_peak(2**22 + 1)
