"""JSON by the C functions that the module `json` stands on, without that module: it needs `re`, and with it costs each
session 0.6 MB.

No look for cycles is taken, which end in a `RecursionError`; `NaN` and the infinities can't be written.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder, make_scanner

from replwire.hints import Any, Final

_SPACE: Final = " \t\n\r"
_CONSTANTS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def _unknown(value: object) -> Any:
    raise TypeError(f"an object of type {type(value).__name__} is no JSON")


class _Reading:
    """What `json.JSONDecoder` gives the scanner."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__


_encode: Final = make_encoder(None, _unknown, encode_basestring, None, ":", ",", False, False, False)
_scan: Final = make_scanner(_Reading)  # type: ignore[arg-type]


def to_json(value: Any) -> bytes:
    """Compact JSON; what UTF-8 can't carry becomes `?`. Raises `ValueError`, `TypeError` for what JSON can't."""
    return "".join(_encode(value, 0)).encode("utf-8", "replace")


def from_json(data: bytes) -> Any:
    """Raises `ValueError`, `RecursionError`."""
    text = data.decode()
    try:
        value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
    except StopIteration:
        raise ValueError("not JSON") from None
    if text[end:].strip(_SPACE):
        raise ValueError("more than one JSON value")
    return value
