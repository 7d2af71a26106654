"""Envelopes: strict reading, plain writing. JSON text in, plain values out; no sockets.

Reading refuses what `json` lets through in silence: duplicate keys, `NaN` and infinities, lone surrogates, deep
nesting (RFC 8259 leaves each of them open, and each has been an attack).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from replwire.errors import WireError

Json = dict[str, Any]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEEP: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Any JSON value as compact text."""

canonical: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode
"""The one text that equal values share; what a body hash is taken over."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate keys")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
).decode


def depth(text: str) -> int:
    """Nesting of JSON text, brackets inside strings not counted; iterative, so that no text can exhaust the stack."""
    level = deepest = 0
    for match in _DEEP.finditer(text):
        mark = match[0]
        if mark in "[{":
            level += 1
            deepest = max(deepest, level)
        elif mark in "]}":
            level -= 1
    return deepest


def decode_object(text: str, *, depth_max: int) -> Json:
    """One JSON object from text that a stranger sent; raises `bad_message` and says what is wrong with it."""
    if text.count("[") + text.count("{") > depth_max and depth(text) > depth_max:
        raise WireError("bad_message", f"nested deeper than {depth_max}", limit="depth_max")
    try:
        value = _decode(text)
    except (ValueError, RecursionError) as error:
        raise WireError("bad_message", f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise WireError("bad_message", "an envelope is a JSON object")
    if "\\u" in text and _SURROGATE.search(encode(value)):
        raise WireError("bad_message", "a lone surrogate is not text")
    return value


def envelope(
    type_: str,
    payload: Json,
    timestamp: float,
    *,
    id_: str | None = None,
    session: str | None = None,
    cursor: str | None = None,
) -> Json:
    """An envelope as a dict, absent fields left out."""
    body: Json = {"type": type_, "payload": payload, "timestamp": timestamp}
    if id_ is not None:
        body = {"id": id_, **body}
    if session is not None:
        body["session"] = session
    if cursor is not None:
        body["cursor"] = cursor
    return body
