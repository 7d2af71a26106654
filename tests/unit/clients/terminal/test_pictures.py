"""Which pictures of tenants become files, and which are only told."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import pytest

from bascule.results import Result
from bascule.terminal import pictures
from bascule.terminal.pictures import Pictures

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


def encoded(content: bytes) -> str:
    """As a MIME bundle has it."""
    return base64.b64encode(content).decode()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files go where the test can clean up."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_picture_is_saved_and_its_link_told():
    """One file for each, the text beside it left to others."""
    kept = Pictures()
    (first,) = kept.words(Result({"text/plain": "x", "image/png": encoded(PNG)}))
    (second,) = kept.words(Result({"image/png": encoded(PNG)}))
    assert first != second
    assert first.startswith("image/png, 12 bytes: file:///")
    path = Path(first.partition("file://")[2])
    assert path.read_bytes() == PNG
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("mime", "value", "why"),
    [
        ("image/png", encoded(b"<html><script>"), "its content is something else"),
        ("image/png", "no base64!", "not saved"),
        ("image/jpeg", encoded(PNG), "its content is something else"),
        ("image/svg+xml", "<svg><script/></svg>", "it may hold what a viewer would run"),
        ("image/../../x", "x", "it may hold"),
    ],
)
def test_what_is_no_picture_is_not_saved(mime: str, value: str, why: str, tmp_path: Path):
    """It is told, and no file is made."""
    (words,) = Pictures().words(Result({mime: value}))
    assert why in words
    assert list(tmp_path.iterdir()) == []


def test_pictures_have_a_limit(monkeypatch: pytest.MonkeyPatch):
    """In bytes of all of them."""
    monkeypatch.setattr(pictures, "BYTES_MAX", 20)
    kept = Pictures()
    told = [next(iter(kept.words(Result({"image/png": encoded(PNG)})))) for _ in range(2)]
    assert "file://" in told[0] and "has saved 20 bytes already" in told[1]
