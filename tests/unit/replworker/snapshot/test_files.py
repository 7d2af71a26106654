"""Files of the working folder: they come along within quota, and every change is seen."""

import os
from pathlib import Path

import pytest

from replworker.snapshot import SnapshotLimits, Snapshotter, restore


@pytest.fixture
def folders(tmp_path):
    """The folder of one worker and that of the next."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    return here, there


class _Session:
    """Checkpoints of one folder, and a store that has exactly what was sent and is referred to."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.taker = Snapshotter({"x": 1}, work_folder=str(folder), limits=SnapshotLimits(**limits))
        self.chunks: dict[bytes, bytes] = {}

    def take(self):
        taken = self.taker.take({})
        have = {**self.chunks, **dict(taken.chunks)}
        self.chunks = {name: have[name] for name in taken.references}
        self.manifest = taken.manifest
        return taken

    def restore(self, folder):
        return restore(self.manifest, self.chunks, {}, work_folder=str(folder))


def _settle(folder):
    """Make everything in a folder look as if it was written long ago, as after a pause."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)


def test_files_folders_and_links_come_back(folders):
    """Contents, permissions, times, empty folders, odd names; links as links; caches of bytecode stay behind."""
    here, there = folders
    (here / "a.txt").write_text("hello")
    (here / "tool").write_bytes(b"#!/bin/sh\n")
    (here / "tool").chmod(0o755)
    (here / "deep" / "er").mkdir(parents=True)
    (here / "deep" / "er" / "big.bin").write_bytes(os.urandom(700_000))
    (here / "empty").mkdir()
    (here / "naïve \udcff").write_text("odd")
    (here / "link").symlink_to("a.txt")
    (here / "out").symlink_to("/etc/passwd")
    (here / "__pycache__").mkdir()
    (here / "__pycache__" / "x.pyc").write_bytes(b"x")
    os.utime(here / "a.txt", ns=(5, 10**18 + 7))
    session = _Session(here)
    assert session.take().unsaved == {}
    report = session.restore(there)
    assert report.unsaved == {} and report.files == 9
    assert (there / "a.txt").read_text() == "hello" and (there / "a.txt").stat().st_mtime_ns == 10**18 + 7
    assert (there / "tool").stat().st_mode & 0o777 == 0o755 and (there / "empty").is_dir()
    assert (there / "deep" / "er" / "big.bin").read_bytes() == (here / "deep" / "er" / "big.bin").read_bytes()
    assert (there / "naïve \udcff").read_text() == "odd"
    assert os.readlink(there / "link") == "a.txt" and os.readlink(there / "out") == "/etc/passwd"
    assert not (there / "__pycache__").exists()


def test_small_files_are_inline(folders):
    """A few small files need no chunk."""
    here, there = folders
    (here / "a.txt").write_text("hello")
    session = _Session(here)
    assert session.take().chunks == ()
    session.restore(there)
    assert (there / "a.txt").read_text() == "hello"


@pytest.mark.parametrize("size", [10, 200_000])
def test_two_changes_in_one_tick(folders, size):
    """Same size, same inode, same tick of the clock: the second content is seen all the same."""
    here, there = folders
    file = here / "f"
    session = _Session(here)
    for round_ in range(20):
        with open(file, "r+b" if round_ else "wb") as opened:
            opened.write(bytes([65 + round_]) * size)
        session.take()
        session.restore(there)
        assert (there / "f").read_bytes()[-1] == 65 + round_


def test_creation_and_removal(folders):
    """New files are seen at once, in a folder that was just empty too; what is removed is in no later state."""
    here, there = folders
    _settle(here)
    session = _Session(here)
    first = session.take()
    (here / "f").write_text("1")
    assert session.take().manifest != first.manifest
    (here / "f").unlink()
    assert session.take().manifest == first.manifest
    assert session.restore(there).files == 0


def test_an_old_time_does_not_hide_a_change(folders):
    """A tenant that sets the times back is seen by ctime."""
    here, there = folders
    (here / "f").write_text("one")
    _settle(here)
    session = _Session(here)
    session.take()
    (here / "f").write_text("two")
    _settle(here)
    session.take()
    session.restore(there)
    assert (there / "f").read_text() == "two"


def test_an_unchanged_large_file_is_not_sent_again(folders):
    """Beside a large file that stays, a change sends only what changed."""
    here, there = folders
    (here / "big").write_bytes(os.urandom(3_000_000))
    session = _Session(here)
    assert sum(len(data) for _, data in session.take().chunks) >= 3_000_000
    (here / "small").write_text("x")
    assert sum(len(data) for _, data in session.take().chunks) == 0
    with open(here / "big", "r+b") as opened:
        opened.write(b"changed")
    assert sum(len(data) for _, data in session.take().chunks) == 256 * 1024
    session.restore(there)
    assert (there / "big").read_bytes() == (here / "big").read_bytes()


def test_what_is_no_file_is_listed(folders):
    """A pipe is listed, never opened; the same for what can't be read any more."""
    here, _ = folders
    os.mkfifo(here / "pipe")
    (here / "ok").write_text("x")
    assert _Session(here).take().unsaved == {"file:pipe": "not a regular file"}


def test_quota(folders):
    """Over the count or the bytes, files are listed one by one; those within come along."""
    here, there = folders
    for number in range(8):
        (here / f"f{number}").write_bytes(b"x" * 1000)
    session = _Session(here, files_max=5)
    assert session.take().unsaved == {f"file:f{n}": "over the limit of 5 files" for n in (5, 6, 7)}
    assert session.restore(there).files == 5
    session = _Session(here, files_bytes_max=2500)
    assert set(session.take().unsaved) == {f"file:f{n}" for n in range(2, 8)}


def test_a_folder_with_too_many_files_is_bounded(folders):
    """Far over the limit the look stops: the list has an end."""
    here, _ = folders
    for number in range(300):
        (here / f"{number}").touch()
    unsaved = _Session(here, files_max=20).take().unsaved
    assert 20 <= len(unsaved) <= 45


def test_a_folder_that_is_gone(folders):
    """Without the folder the names are kept, and the loss is told."""
    here, _ = folders
    here.rmdir()
    taken = _Session(here).take()
    assert list(taken.unsaved) == ["file:."]


def test_files_are_there_before_the_imports(stage, folders):
    """A module of the tenant's in the folder is imported from its restored file; classes of it are the same class."""
    here, there = folders
    first, second = stage.play(
        {
            "folder": str(here),
            "evals": [
                (
                    "open('mine.py', 'w').write('class C: pass\\nSTATE = [1]')\n"
                    "import sys, os; sys.path.insert(0, os.getcwd())\n"
                    "import mine; c = mine.C()"
                )
            ],
        },
        {"folder": str(there), "checks": ["type(c) is mine.C", "mine.__file__"]},
    )
    assert first["takes"][-1]["unsaved"] == {}
    assert second["before"] == ["True", repr(str(there / "mine.py"))]
