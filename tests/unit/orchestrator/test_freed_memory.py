"""Freed memory stays with the process: the next large state costs no page faults."""

from __future__ import annotations

import subprocess
import sys

FAULTS = """
import resource, sys
from orchestrator.freed_memory import keep_freed_memory
assert sys.argv[1] == "as it is" or keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [bytes(256 * 1024) for _ in range(40)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 40 * 256 * 1024 // 4096


def _faults(how: str) -> int:
    words = (sys.executable, "-c", FAULTS, how)
    return int(subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_pieces_of_a_large_state_are_not_fetched_from_the_system_again():
    """As it is, each page of each state is."""
    assert _faults("as it is") > PAGES // 2
    assert _faults("kept") < PAGES // 20
