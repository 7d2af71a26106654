"""What a tenant's text may do to the terminal it is shown on: colours, tabs, line ends, progress bars. Nothing else.

Everything that is not on that short list becomes something to read, in place of something to obey: an escape character
becomes `␛` and what followed it stays as plain text. So nothing is dropped, no end of a sequence is waited for, and no
terminal's idea of a sequence matters. Characters that change the order of text or that nobody sees are written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

COLOUR_CHARS_MAX: Final = 64
"""Of one colour sequence; a longer one is shown as text."""

RESET: Final = "\x1b[0m"

_COLOUR: Final = re.compile(rf"\x1b\[([0-9;:]{{0,{COLOUR_CHARS_MAX}}})m")
_UNFINISHED: Final = re.compile(rf"\x1b(?:\[[0-9;:]{{0,{COLOUR_CHARS_MAX}}})?\Z")

_RESETS: Final = (RESET, "\x1b[m")

_PASSING: Final = "\t\n\r\b"
_OBEYED: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order, and what nobody sees
    "\U000e0000-\U000e0fff"  # tags
    "\ud800-\udfff"  # no text at all
)
_SUSPECT: Final = re.compile(f"[{_OBEYED}]")

_STYLES: Final = frozenset([*range(5), 7, 9, *range(21, 25), 27, 29, *range(30, 50), *range(90, 108)])
"""Colours, bold, faint, italic, underlined, reversed, struck, and their ends. Not blinking, and not hidden (8)."""

_SCREEN_OF_C0: Final = 0x2400
_DELETE: Final = 0x7F


def safe(text: str) -> str:
    """A whole text, over several lines if it likes."""
    return _visible(text, _PASSING) if _SUSPECT.search(text) else text


def one_line(text: str) -> str:
    """A name or a message that has one line to itself: neither line ends nor tabs nor colours pass."""
    return _SUSPECT.sub(_written_out, text)


class Filter:
    """The same as `safe` for text that comes in pieces, whose ends may lie within a colour sequence."""

    def __init__(self) -> None:
        self._held = ""
        self._is_coloured = False

    def feed(self, text: str) -> str:
        """The next piece; what could be the beginning of a colour waits for the piece after it."""
        text = self._held + text
        unfinished = _UNFINISHED.search(text)
        self._held = unfinished.group() if unfinished else ""
        return self._shown(text[: len(text) - len(self._held)])

    def end(self) -> str:
        """What still waits, and the end of the colours that were left on."""
        rest, self._held = self._shown(self._held), ""
        reset, self._is_coloured = RESET if self._is_coloured else "", False
        return rest + reset

    def _shown(self, text: str) -> str:
        shown = safe(text)
        last = shown.rfind("\x1b[")
        if last >= 0:
            self._is_coloured = not shown.startswith(_RESETS, last)
        return shown


def _visible(text: str, passing: str) -> str:
    pieces, end = [], 0
    for found in _COLOUR.finditer(text):
        if _is_harmless(found[1]):
            pieces += [_plain(text[end : found.start()], passing), found.group()]
            end = found.end()
    return "".join([*pieces, _plain(text[end:], passing)])


def _plain(text: str, passing: str) -> str:
    return _SUSPECT.sub(lambda found: found[0] if found[0] in passing else _written_out(found), text)


def _is_harmless(parameters: str) -> bool:
    """Whether it sets colours and styles only. What follows 38 and 48 is part of a colour, no style."""
    numbers = iter(parameters.split(";"))
    for number in numbers:
        first = number.partition(":")[0] or "0"
        if int(first) not in _STYLES:
            return False
        if first in ("38", "48") and ":" not in number and not _skip_colour(numbers):
            return False
    return True


def _skip_colour(numbers: Iterator[str]) -> bool:
    """Whether a colour follows: 5 and its number, or 2 and its three parts."""
    parts = {"5": 1, "2": 3}.get(next(numbers, ""), 0)
    return parts > 0 and len(list(islice(numbers, parts))) == parts


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(_SCREEN_OF_C0 + code)
    return "␡" if code == _DELETE else f"<U+{code:04X}>"
