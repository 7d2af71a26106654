"""Cursors order all events of a session: inside, the generation and the event's number in it.

What a dead worker said and what its successor says never share a cursor. To clients a cursor is opaque.
"""

from __future__ import annotations

from typing import NamedTuple

from replwire.errors import WireError


class Cursor(NamedTuple):
    """Position in a session's events; compares as a tuple."""

    generation: int
    number: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.number}"


def parse_cursor(text: str) -> Cursor:
    """Read a cursor that a client sent; raises `bad_message` for anything that this server never made."""
    generation, dot, number = text.partition(".")
    if not (dot and _is_number(generation) and _is_number(number)):
        raise WireError("bad_message", "this cursor is not one of ours", field="payload.cursor")
    return Cursor(int(generation), int(number))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15 and (text == "0" or text[0] != "0")
