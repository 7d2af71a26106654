"""Where everything is written that people read: tenants' text through the filter, our own words in brackets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TextIO

from bascule.terminal.escapes import Filter, one_line

FAINT: Final = "\x1b[2m"
PLAIN: Final = "\x1b[0m"
PIECE_CHARS_MAX: Final = 64 * 1024
"""Of one write, so that signals are heard between them."""

Above = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls what writes, now or above the line that is being typed."""


class Pieces(Protocol):
    """Makes text that comes in pieces fit to be shown: `Filter`, or what lets everything pass."""

    def feed(self, text: str) -> str:
        """The next piece."""

    def end(self) -> str:
        """What is left."""


class Unfiltered:
    """For those who asked for every byte."""

    def feed(self, text: str) -> str:
        """As it is."""
        return text

    def end(self) -> str:
        """Nothing."""
        return ""


class Screen:
    """stdout and stderr, which may be the same terminal."""

    def __init__(
        self, stdout: TextIO, stderr: TextIO, *, above: Above | None = None, raw: bool = False,
    ) -> None:  # fmt: skip
        self._streams = {"stdout": stdout, "stderr": stderr}
        kind: type[Pieces] = Unfiltered if raw else Filter
        self._filters: dict[str, Pieces] = {name: kind() for name in self._streams}
        self._above = above or _now
        self._note_is_open = False
        self._is_mid_line = False

    async def write(self, text: str, name: str = "stdout") -> None:
        """A tenant's text, as it comes. Raises `OSError` when nobody reads it any more."""
        for start in range(0, len(text), PIECE_CHARS_MAX):
            await self._put(self._filters[name].feed(text[start : start + PIECE_CHARS_MAX]), name)

    async def finish(self) -> None:
        """The end of an eval's output: colours end, and on a terminal the next thing begins on a line of its own."""
        for name, pieces in self._filters.items():
            await self._put(pieces.end(), name)
        if self._note_is_open:
            self._note_is_open = False
            await self._put("\n", "stderr")
        elif self._is_mid_line and self._streams["stdout"].isatty():
            await self._put("\n", "stdout")

    async def line(self, text: str, name: str = "stdout") -> None:
        """A whole tenant's text with a line end behind it, after what was written before."""
        await self.write(text if text.endswith("\n") else text + "\n", name)

    async def clear_line(self) -> None:
        """Forget the line that was begun, on a terminal: what `clear_output()` can mean there."""
        if self._is_mid_line and self._streams["stdout"].isatty():
            await self._put("\r\x1b[K", "stdout")
            self._is_mid_line = False

    async def tell(self, words: str, *, more_follows: bool = False) -> None:
        """A line of our own, on stderr. `more_follows`: the next one takes its place."""
        stream = self._streams["stderr"]
        styled = stream.isatty()
        start = "\r\x1b[K" if self._note_is_open and styled else "\n" if self._is_mid_line and styled else ""
        text = f"[{one_line(words)}]"
        end = "" if more_follows and styled else "\n"
        await self._put(f"{start}{FAINT}{text}{PLAIN}{end}" if styled else f"{text}\n", "stderr", is_ours=True)
        self._note_is_open = more_follows and styled

    async def _put(self, text: str, name: str, *, is_ours: bool = False) -> None:
        if not text:
            return
        if self._note_is_open and not is_ours:
            text, self._note_is_open = "\n" + text, False
        await self._above(lambda: self._now(text, name))

    def _now(self, text: str, name: str) -> None:
        stream = self._streams[name]
        stream.write(text)
        stream.flush()
        written = text.removesuffix(PLAIN)
        if written and stream.isatty():
            self._is_mid_line = not written.endswith("\n")


async def _now(write: Callable[[], None]) -> None:
    write()
