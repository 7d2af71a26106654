"""How the demo finds and ends the processes of a worker."""

import asyncio
import contextlib
import json
import sys
import uuid
from pathlib import Path

import pytest

from orchestrator.demo.server import DemoError, DemoServer, kill_worker, throw_away_folder

FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"


async def test_a_worker_and_its_children_are_killed() -> None:
    """The one that the id names, and those below it that it does not."""
    worker = f"wrk_{uuid.uuid4().hex}"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FAMILY, worker, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"1\n"
    killed = kill_worker(worker)
    assert parent.pid in killed
    assert len(killed) == 2
    assert await asyncio.wait_for(parent.wait(), 5) == -9
    assert await asyncio.wait_for(parent.stdout.read(), 5) == b""


def test_a_worker_that_is_not_there_is_told() -> None:
    """The demo does not pretend to have killed something."""
    with pytest.raises(DemoError, match="no process"):
        kill_worker(f"wrk_{uuid.uuid4().hex}")


async def test_the_worker_is_the_last_one_claimed(tmp_path: Path) -> None:
    """The server's log names it, one line a claim."""
    claims = (("ses_a", "wrk_1"), ("ses_b", "wrk_2"), ("ses_a", "wrk_3"))
    lines = [json.dumps({"event": "worker claimed", "session_id": one, "worker": two}) for one, two in claims]
    (tmp_path / "server.log").write_text("\n".join(("noise", *lines, "")))
    assert await DemoServer(tmp_path, "token").worker_of("ses_a") == "wrk_3"


def test_the_folder_is_thrown_away() -> None:
    """Whatever was in it, and whatever happened."""
    with contextlib.suppress(ValueError), throw_away_folder() as folder:
        (folder / "file").touch()
        assert folder.stat().st_mode & 0o755 == 0o755
        raise ValueError
    assert not folder.exists()
