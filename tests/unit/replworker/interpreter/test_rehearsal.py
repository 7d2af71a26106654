"""A worker that waited has rehearsed, and its tenant finds nothing of it."""

import time
from pathlib import Path

from replworker.rehearsals import IDLE_BEFORE_S
from support.worker_process import WorkerProcess

LEFT = """
import linecache
(sorted(name for name in globals() if name[0] == '_' and name[1:2] != '_'), '<request>' in linecache.cache)
"""


def test_nothing_of_the_rehearsal_is_left(tmp_path: Path) -> None:
    """No `_`, no source, nothing known of a checkpoint: the first eval is number 1 and its state comes whole."""
    worker = WorkerProcess(tmp_path)
    try:
        worker.dial()
        time.sleep(4 * IDLE_BEFORE_S)
        link = worker.claimed()
        first = link.eval("a = 5")
        assert (first.seq, first.told["error"]) == (1, None)
        assert b"a" in first.manifest
        assert link.eval(LEFT).told["output"] == "([], False)"
    finally:
        worker.end()
