"""Fixtures: `bascule repl` in a real terminal."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from support.server import TOKEN
from support.tmux import Terminal

Start = Callable[..., Awaitable[Terminal]]

BASCULE = (sys.executable, "-m", "orchestrator")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of the terminal; its path is short, as sockets need it."""
    made = Path(tempfile.mkdtemp(prefix="bascule-tmux-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """Starts `bascule repl` in a terminal, once."""
    terminal = Terminal(folder)

    async def run(url: str, *words: str, **more: str) -> Terminal:
        environment = {
            "BASCULE_API_KEY": TOKEN, "BASCULE_API_URL": url, "BASCULE_HISTORY": str(folder / "history"),
            "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8", **more,
        }  # fmt: skip
        await terminal.start(environment, *BASCULE, *(words or ("repl",)))
        await terminal.ends_with(">>>")
        return terminal

    yield run
    await terminal.stop()
