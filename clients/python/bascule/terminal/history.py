"""What was typed, kept on disk for the next time, readable by its owner only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

BYTES_MAX: Final = 1024 * 1024
"""Of the file; when it is longer its older half is forgotten at the next start."""

VARIABLE: Final = "BASCULE_HISTORY"
"""Another file; empty: none is kept."""


def history_path() -> Path | None:
    """Where it is: `BASCULE_HISTORY`, else in the user's state folder. None: it is not kept."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "bascule" / "history"


def open_history() -> tuple[History, str | None]:
    """The history, and why it is not on disk when it should be."""
    path = history_path()
    if path is None:
        return InMemoryHistory(), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        _shorten(path)
    except OSError as error:
        return InMemoryHistory(), f"no history is kept: {error}"
    return _DiskHistory(str(path)), None


def _shorten(path: Path) -> None:
    """Entries begin with a line `# time`, after an empty one."""
    if path.stat().st_size > BYTES_MAX:
        kept = path.read_bytes()[-BYTES_MAX // 2 :]
        path.write_bytes(kept[max(kept.find(b"\n\n# "), 0) :])


class _DiskHistory(FileHistory):
    """A disk that is full costs the entry on disk, and not the prompt."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)
