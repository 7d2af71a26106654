"""What text costs as a part of JSON: limits count that, for it is what a client has to take."""

from __future__ import annotations

from replwire.hints import Final

_ESCAPED: Final = b'\b\t\n\f\r"\\'
"""Two bytes each."""
_CONTROL: Final = bytes(set(range(0x20)) - set(_ESCAPED))
"""Six bytes each (RFC 8259, section 7)."""

_STEP_BYTES: Final = 4096


def json_bytes(data: bytes) -> int:
    """Bytes that this text takes in a JSON string; what is not UTF-8 counts as the escapes that stand for it."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            data = data.decode("utf-8", "backslashreplace").encode()
    count = len(data)
    return 7 * count - len(data.translate(None, _ESCAPED)) - 5 * len(data.translate(None, _CONTROL))


def fitting(data: bytes, room_bytes: int) -> int:
    """How many of the first bytes fit into so much JSON. A few less where a character of several bytes is cut."""
    end, step = 0, _STEP_BYTES
    while end < len(data) and step:
        size_bytes = json_bytes(data[end : end + step])
        if size_bytes <= room_bytes:
            room_bytes -= size_bytes
            end += step
        else:
            step //= 2
    return min(end, len(data))
