"""The folders of workers: whose they are, which uids are in use, and that they come and go beside each other."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from pathlib import Path

import pytest

from orchestrator.runtimes import folders as module
from orchestrator.runtimes.folders import FIRST_UID, FolderError, Folders

OURS = 4321
"""The uid of a server that is not root."""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """An empty root."""
    made = Folders(tmp_path / "workers")
    made.prepare()
    return made


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not root, which can give nothing away."""

    def refused(*_: object) -> None:
        raise PermissionError("only root may")

    monkeypatch.setattr(os, "geteuid", lambda: OURS)
    monkeypatch.setattr(os, "chown", refused)


def mode(folder: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_worker_that_can_be_any_user_is_one_of_its_own(folders: Folders, as_user: None) -> None:
    """Also of a server that is not root: it can write until the folder is locked, and the server can delete it."""
    folder, uid = folders.make("wrk_a", any_user=True)
    assert uid >= FIRST_UID
    assert mode(folder) & 0o003 == 0o003
    folders.lock("wrk_a")
    assert mode(folder) == 0o555
    folders.remove("wrk_a")
    assert folders.workers() == []


def test_a_worker_that_cannot_is_the_server(folders: Folders, as_user: None) -> None:
    """And nobody else comes near its folder."""
    folder, uid = folders.make("wrk_a")
    assert uid == OURS
    assert mode(folder) == 0o700
    folders.lock("wrk_a")
    assert mode(folder) == 0o550


def test_a_uid_is_not_used_again_while_its_worker_has_a_folder(
    folders: Folders, as_user: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor by a server that has just started: the owner of the socket tells it."""
    folder, _ = folders.make("wrk_a", any_user=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / module.SOCKET_NAME))
    owner = (folder / module.SOCKET_NAME).stat().st_uid
    drawn = iter((owner, owner, owner + 1))
    monkeypatch.setattr(module, "FIRST_UID", 0)
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    assert Folders(folders.root).make("wrk_b", any_user=True)[1] == owner + 1


def test_a_folder_that_goes_while_uids_are_looked_at_is_no_error(
    folders: Folders, as_user: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts and ends happen at the same time, each in a thread of its own."""
    folders.make("wrk_a", any_user=True)
    entries = folders._entries()
    folders.remove("wrk_a")
    monkeypatch.setattr(folders, "_entries", lambda: entries)
    assert folders.make("wrk_b", any_user=True)[1] >= FIRST_UID


def test_a_root_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """By its name, with the flag that chooses another."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=f"{tmp_path}/file/workers.*--state-dir"):
        Folders(tmp_path / "file" / "workers").prepare()


def test_a_disk_that_is_full_is_told(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the kernel's words."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(FolderError, match="No space left"):
        folders.make("wrk_a")
