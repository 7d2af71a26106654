"""Journal entries from elsewhere: what ours are is read, anything else is refused with the field that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.commits import Checkpointed
from orchestrator.core.journal import read_entry
from orchestrator.core.outcomes import Outcome, journal_entry
from replwire.errors import WireError

ETAG = "0f" * 16


def written(**more: Any) -> dict[str, Any]:
    """An entry of ours, with fields in place of its own; None leaves one out."""
    outcome = Outcome(
        seq=3, request_id="a", type="eval", body_hash=b"", stamp=b"", principal="acme/ann", body=b'{"code":"1"}',
        payload={"output": "1"}, state=Checkpointed(b"", ()), first_event=4, last_event=6,
    )  # fmt: skip
    entry = {**json.loads(journal_entry(outcome, 2, ETAG, 1730847625.5)), **more}
    return {name: value for name, value in entry.items() if value is not None}


def test_what_we_write_is_read() -> None:
    """Field by field."""
    entry = read_entry(json.dumps(written()).encode())
    assert (entry.seq, entry.id, entry.type, entry.principal) == (3, "a", "eval", "acme/ann")
    assert (entry.at, entry.etag, entry.cursors) == (1730847625.5, ETAG, ["2.4", "2.6"])
    assert (entry.body, entry.result) == ({"code": "1"}, {"output": "1"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, None) for name in written()),
        ("seq", 0),
        ("seq", "3"),
        ("seq", 2**53),
        ("id", ""),
        ("id", "a" * 129),
        ("id", "a\nb"),
        ("type", "close"),
        ("principal", ""),
        ("at", "now"),
        ("etag", ETAG + "\n"),
        ("etag", "x"),
        ("cursors", ["2.4"]),
        ("cursors", ["2.4", "x"]),
        ("cursors", "2.4"),
        ("body", []),
        ("result", "1"),
        ("more", 1),
    ],
)
def test_anything_else_is_refused(field: str, value: Any) -> None:
    """It names the field."""
    with pytest.raises(WireError) as caught:
        read_entry(json.dumps(written(**{field: value})).encode())
    assert caught.value.code == "bad_message" and f": {field}" in caught.value.message


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"1"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """Without a traceback."""
    with pytest.raises(WireError):
        read_entry(data)
