"""Frames of a WebSocket as a server sends them: unmasked, whole, not compressed (RFC 6455, section 5.2)."""

from __future__ import annotations

import struct
from typing import Final

PING: Final = b"\x89\x00"
"""A ping without a payload."""

_TEXT: Final = 0x81
_PONG: Final = 0x8A
_pack_medium: Final = struct.Struct(">BBH").pack
_pack_long: Final = struct.Struct(">BBQ").pack
_SHORT: Final = tuple(bytes((_TEXT, length)) for length in range(126))


def text_frame(message: bytes) -> bytes:
    """One text message as one frame."""
    length = len(message)
    if length < 126:
        return _SHORT[length] + message
    if length < 65536:
        return _pack_medium(_TEXT, 126, length) + message
    return _pack_long(_TEXT, 127, length) + message


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping, whose payload has at most 125 bytes."""
    return bytes((_PONG, len(payload))) + payload
