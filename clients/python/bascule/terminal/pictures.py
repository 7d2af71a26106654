"""Pictures of tenants as files, because a terminal shows none: told by a link that a terminal opens with a click."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bascule.results import Result

BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all pictures of one terminal; what comes then is told and not saved."""

# What a file of each kind begins with. SVG and HTML can hold scripts, and a file's link opens in a browser.
_BEGINNINGS: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n", "png"),
    "image/jpeg": (b"\xff\xd8\xff", "jpg"),
    "image/gif": (b"GIF8", "gif"),
    "application/pdf": (b"%PDF-", "pdf"),
}


class Pictures:
    """Saves them in a folder of its own that only we can read. The folder stays, so that links still lead somewhere."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._bytes_left = BYTES_MAX
        self._count = 0

    def words(self, result: Result) -> Iterator[str]:
        """One line for each form that is no text: where it was saved, or why it was not."""
        for mime in result.formats():
            if mime in _BEGINNINGS:
                yield self._saved(mime, result)
            elif mime.startswith(("image/", "video/", "audio/")):
                yield f"{mime}: not saved, it may hold what a viewer would run"

    def _saved(self, mime: str, result: Result) -> str:
        beginning, ending = _BEGINNINGS[mime]
        try:
            content = base64.b64decode(str(result[mime]), validate=False)
        except (binascii.Error, ValueError):
            return f"{mime}: not saved, it is no base64"
        if not content.startswith(beginning):
            return f"{mime}: not saved, its content is something else"
        if len(content) > self._bytes_left:
            return f"{mime}: not saved, this terminal has saved {BYTES_MAX} bytes already"
        try:
            return f"{mime}, {len(content)} bytes: {self._write(content, ending).as_uri()}"
        except OSError as error:
            return f"{mime}: not saved: {error}"

    def _write(self, content: bytes, ending: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bascule-pictures-"))
        self._count += 1
        path = self._folder / f"{self._count}.{ending}"
        path.write_bytes(content)
        self._bytes_left -= len(content)
        return path
