"""One server for one state folder; and the name that the servers of a folder share, one after the other."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from orchestrator.runtimes.state_lock import LOCK, StateError, is_served, only_server


def _hold(state: Path, held: multiprocessing.Queue) -> None:
    with only_server(state) as name:
        held.put(name)
        signal.pause()


def test_the_next_server_has_the_name_of_the_one_that_was_killed(tmp_path):
    """While it lives, nobody else gets the folder, and so the name."""
    spawning = multiprocessing.get_context("spawn")
    held = spawning.Queue()
    server = spawning.Process(target=_hold, args=(tmp_path, held))
    server.start()
    name = held.get(timeout=30)
    assert is_served(tmp_path)
    with pytest.raises(StateError), only_server(tmp_path):
        pass
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.join(30)
    with only_server(tmp_path) as again:
        assert again == name


def test_folders_have_names_of_their_own(tmp_path):
    """Two servers of two folders are two owners."""
    with only_server(tmp_path / "a") as first, only_server(tmp_path / "b") as second:
        assert first != second and len(first) == len(second) == 16


@pytest.mark.parametrize("held", [b"", b"abc", b"x" * 40, b"\0" * 16])
def test_a_name_that_was_half_written_is_made_anew(tmp_path, held):
    """And kept from then on."""
    (tmp_path / LOCK).write_bytes(held)
    with only_server(tmp_path) as name:
        assert len(name) == 16 and name.isalnum()
    with only_server(tmp_path) as again:
        assert again == name
