"""Source texts of evals by file name, so that tracebacks and `inspect.getsource` can show them."""

from __future__ import annotations

from types import ModuleType

from replwire.hints import Any, Final

SOURCES_CHARS_MAX: Final = 4 * 1024 * 1024
"""Of all texts together; beyond it the oldest are forgotten. Those that kept functions need are in the checkpoint."""


class Sources:
    """Texts in the order of their evals."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._chars = 0
        self._cache: dict[str, Any] | None = None

    def add(self, filename: str, text: str) -> None:
        """The source of an eval that starts."""
        self.texts[filename] = text
        self._chars += len(text)
        if self._cache is not None:
            self._cache[filename] = _entry(filename, text)
        while self._chars > SOURCES_CHARS_MAX and len(self.texts) > 1:
            oldest = next(iter(self.texts))
            self._chars -= len(self.texts.pop(oldest))
            if self._cache is not None:
                self._cache.pop(oldest, None)

    def forget(self) -> None:
        """All of them."""
        self.texts.clear()
        self._chars = 0

    def show_in(self, linecache: ModuleType) -> None:
        """Keep this module's cache up to date from now on."""
        self._cache = linecache.cache
        for filename, text in self.texts.items():
            self._cache[filename] = _entry(filename, text)


def _entry(filename: str, text: str) -> tuple[int, None, list[str], str]:
    # No modification time: `checkcache` leaves such entries alone.
    lines = [line + "\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return len(text), None, lines, filename


def filename_of(number: int) -> str:
    """What the code of eval `number` has as its file; 0 for a request without a number."""
    return f"<eval {number}>" if number > 0 else "<request>"
