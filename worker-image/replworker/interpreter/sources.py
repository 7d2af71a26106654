"""Source texts of evals by file name, so that tracebacks and `inspect.getsource` can show them."""

from __future__ import annotations

from collections import deque
from types import CodeType, FunctionType, ModuleType

from replwire.hints import Any, Final

SOURCES_CHARS_MAX: Final = 4 * 1024 * 1024
"""Of all texts together; beyond it those that no live function comes from are forgotten first, then the oldest."""

SOURCES_CHARS_LEFT: Final = SOURCES_CHARS_MAX * 3 // 4
"""So many are left then: to look for live functions is to look at every object."""

PASSING_MAX: Final = 100
"""Texts of evals that made no function or class: nothing but a recent traceback can ask for them."""

_OF_EVAL: Final = "<eval "


class Sources:
    """Texts in the order of their evals."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._chars = 0
        self._cache: dict[str, Any] | None = None
        self._passing: deque[str] = deque()

    def add(self, filename: str, text: str) -> None:
        """The source of an eval that starts."""
        if filename in self.texts:
            self._forget(filename)
        self.texts[filename] = text
        self._chars += len(text)
        if self._cache is not None:
            self._cache[filename] = _entry(filename, text)
        if self._chars > SOURCES_CHARS_MAX:
            self._make_room(filename)

    def _make_room(self, newest: str) -> None:
        used = _used_by_functions()
        for filename in sorted(self.texts, key=used.__contains__):
            if self._chars <= SOURCES_CHARS_LEFT:
                return
            if filename != newest:
                self._forget(filename)

    def forget(self) -> None:
        """All of them."""
        self.texts.clear()
        self._passing.clear()
        self._chars = 0

    def compiled(self, filename: str, *codes: CodeType | None) -> None:
        """What became of it; nothing at all where it can't be compiled."""
        for code in codes:
            for item in code.co_consts if code is not None else ():
                if type(item) is CodeType:
                    return
        self._passing.append(filename)
        if len(self._passing) > PASSING_MAX:
            self._forget(self._passing.popleft())

    def _forget(self, filename: str) -> None:
        text = self.texts.pop(filename, None)
        if text is not None:
            self._chars -= len(text)
            if self._cache is not None:
                self._cache.pop(filename, None)

    def show_in(self, linecache: ModuleType) -> None:
        """Keep this module's cache up to date from now on."""
        self._cache = linecache.cache
        for filename, text in self.texts.items():
            self._cache[filename] = _entry(filename, text)


def _used_by_functions() -> set[str]:
    """Names of the files that live functions come from."""
    import gc

    return {item.__code__.co_filename for item in gc.get_objects() if type(item) is FunctionType}


def _entry(filename: str, text: str) -> tuple[int, None, list[str], str]:
    # No modification time: `checkcache` leaves such entries alone.
    lines = [line + "\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return len(text), None, lines, filename


def filename_of(number: int) -> str:
    """What the code of eval `number` has as its file; 0 for a request without a number."""
    return f"{_OF_EVAL}{number}>" if number > 0 else "<request>"


def is_of_eval(filename: str) -> bool:
    """Whether it is the name of an eval's source."""
    return filename.startswith(_OF_EVAL)
