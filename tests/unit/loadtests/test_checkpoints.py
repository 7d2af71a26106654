"""The benchmark of checkpoints, against a real worker without a sandbox, and its table."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.checkpoint_cases import GOALS, NAMESPACES, Change, measures
from loadtests.checkpoints import _figures, table
from loadtests.measuring import Wrong
from loadtests.worker_link import WorkerLink
from support.worker_process import WorkerProcess


@pytest.fixture
def link(tmp_path: Path) -> Iterator[WorkerLink]:
    """To a worker that nobody has claimed."""
    worker = WorkerProcess(tmp_path)
    worker.dial()  # it is there
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tmp_path / "worker.sock"))
    yield WorkerLink(sock)
    sock.close()
    worker.end()


def test_every_change_of_a_namespace_gives_its_figures(link):
    """Three each, in ms and MB; a checkpoint of 13 MB of objects takes time and sends what changed."""
    (found,) = [item for item in NAMESPACES if item.name == "objects"]
    values = _figures(link, replace(found, changes=(*found.changes, Change("row", "rows[-1 - {i}] = ()"))), "commit", 2)
    names = {name for name, _, _ in measures() if name.startswith("checkpoint.objects.")}
    assert set(values) == names | {name.replace("elsewhere", "row") for name in names}
    assert values["checkpoint.objects.elsewhere.wait"] > 1
    assert values["checkpoint.objects.elsewhere.sent"] == 0 < values["checkpoint.objects.row.sent"] < 1


def test_a_failed_eval_or_a_refusal_is_no_figure(link):
    """Its time would mean nothing."""
    link.claim("none")
    with pytest.raises(Wrong, match="NameError"):
        link.eval("nothing")
    with pytest.raises(Wrong, match="refused"):
        link.claim("none")
    link.eval("x = 1")


def test_the_table_has_goals_beside_figures():
    """What was not measured is left out; a goal says whether it is met."""
    values = {name: 7.0 for name, _, _ in measures() if name.startswith(("checkpoint.frame", "checkpoint.small"))}
    lines = table(values).splitlines()
    assert len(lines) == 2 + 4
    assert "7.00 ms (goal <= 5: missed)" in lines[3] and "7.00 ms (goal <= 10: met)" in lines[3]
    assert set(GOALS) <= {name for name, _, _ in measures()}
