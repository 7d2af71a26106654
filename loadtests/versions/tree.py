"""The files of a revision, next to those that are at work."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Final

from loadtests import services

ROOT: Final = Path(__file__).parents[2]
"""Of the version that this is."""


async def unpack(revision: str, folder: Path, *, repository: Path = ROOT) -> Path:
    """The root of that revision's files, below `folder`; raises `Unavailable` for one that git does not know."""
    archive, tree = folder / "tree.tar", folder / "tree"
    await services.output_of("git", "-C", str(repository), "archive", "--output", str(archive), revision)
    with tarfile.open(archive) as files:
        files.extractall(tree, filter="data")
    archive.unlink()
    return tree
