"""Parts of the prompt that need no terminal: where a call is, what is kept on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.terminal import history
from bascule.terminal.completing import call_around
from bascule.terminal.history import history_path, open_history


@pytest.mark.parametrize(
    ("before", "place"),
    [
        ("f(", 1), ("f(a, ", 1), ("f(g(1), ", 1), ("f(g(", 3), ("a.b.c(x=[1, ", 5), ("f(1)", None), ("(1, ", None),
        ("[f(1), ", None), ("", None), ("x = {'a': f(", 11), ("f2(", 2),
    ],
)  # fmt: skip
def test_the_call_that_the_cursor_is_in(before: str, place: int | None):
    """By the end of its name."""
    assert call_around(before) == place


def test_the_history_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the state folder, or where the variable says, readable by nobody else."""
    monkeypatch.delenv("BASCULE_HISTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_path() == tmp_path / "bascule" / "history"
    kept, complaint = open_history()
    kept.append_string("x = 1")
    assert complaint is None
    assert history_path().stat().st_mode & 0o777 == 0o600
    assert list(open_history()[0].load_history_strings()) == ["x = 1"]


def test_a_history_can_be_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """By an empty variable without a word; by a disk that takes none, with one."""
    monkeypatch.setenv("BASCULE_HISTORY", "")
    assert open_history()[1] is None
    (tmp_path / "file").touch()
    monkeypatch.setenv("BASCULE_HISTORY", str(tmp_path / "file" / "history"))
    assert "no history is kept" in str(open_history()[1])


def test_a_long_history_forgets_its_older_half(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """At an entry's beginning."""
    monkeypatch.setenv("BASCULE_HISTORY", str(tmp_path / "history"))
    monkeypatch.setattr(history, "BYTES_MAX", 1000)
    kept, _ = open_history()
    for n in range(100):
        kept.append_string(f"line {n}\nand {n}")
    found = list(open_history()[0].load_history_strings())
    assert 5 < len(found) < 20
    assert found[0] == "line 99\nand 99"
    assert all(entry.startswith("line") for entry in found)
