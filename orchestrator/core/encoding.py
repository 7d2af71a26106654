"""JSON as the server writes it: pydantic's encoder, six times as fast as the standard library's on a small result."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json


def to_text(value: Any) -> str:
    """Compact JSON text; a number that JSON does not have (a worker may say NaN in a MIME bundle) is null."""
    return to_json(value, inf_nan_mode="null").decode("utf-8")


def canonical_bytes(value: Any) -> bytes:
    """The one text that equal values share: compact, keys sorted at every depth."""
    return to_json(_sorted(value), inf_nan_mode="null")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
