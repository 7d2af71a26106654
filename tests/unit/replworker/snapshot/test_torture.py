"""What a namespace may hold, one thing at a time: alive in a process, gone with it, and there again in a fresh one."""

import pytest

from unit.replworker.snapshot.staging import cases

KEPT = cases("kept.txt")


@pytest.mark.parametrize("title", KEPT)
def test_kept(stage, title):
    """Nothing is unsaved, and what was true before is true in a fresh process."""
    if not stage.runs(title):
        return
    evals, checks = KEPT[title]
    answer = stage.survives(evals, *checks)
    assert answer["taken"]["unsaved"] == {}
    assert answer["restored"]["unsaved"] == {}
