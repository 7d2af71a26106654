"""What a worker says is checked: a well-made outcome is read, everything else is a breach."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.outcomes import UNSAVED_MAX, ProtocolBreach, journal_entry, read_outcome, text_of, with_commit
from replwire.frames import OUTCOME_HEAD, Frame, Kind

RECEIPT = {"wall_s": 0.1, "cpu_s": 0.1, "peak_memory_bytes": 9}
TOLD: dict[str, Any] = {
    "output": "2",
    "error": None,
    "data": {"text/plain": "2"},
    "unsaved": {},
    "receipt": RECEIPT | {"truncated": 3},
}


def frame(told=None, type_=b"eval", references=b"", **changed):
    """An OUTCOME frame as a worker sends it."""
    told = json.dumps(TOLD | changed).encode() if told is None else told
    head = OUTCOME_HEAD.pack(3, 7, 9, 100, 5)
    parts = (
        head,
        b"id",
        type_,
        b"h" * 32,
        b"s" * 32,
        b"t/me",
        b'{"code":"1+1"}',
        told,
        b"out",
        b"err\xff",
        b"manifest",
        references,
    )
    return Frame(Kind.OUTCOME, 0, 1, parts)


def test_a_result_gets_what_the_agent_counted():
    """Captured text, bytes and cuts join what the interpreter said."""
    outcome = read_outcome(frame(references=b"a" * 32 + b"b" * 32))

    assert (outcome.seq, outcome.first_event, outcome.last_event) == (3, 7, 9)
    assert outcome.payload["stdout"] == "out"
    assert outcome.payload["stderr"] == "err\\xff"
    assert outcome.payload["receipt"] == RECEIPT | {"output_bytes": 100, "truncated": 8}
    assert outcome.state.references == (b"a" * 32, b"b" * 32)


@pytest.mark.parametrize("field", ["seq", "state", "durable", "etag", "session", "tenant"])
def test_a_worker_cannot_say_what_only_we_may(field):
    """Fields of the front door are refused, not passed on (catalogue W05)."""
    with pytest.raises(ProtocolBreach):
        read_outcome(frame(**{field: "committed"}))


@pytest.mark.parametrize(
    "told",
    [b"", b"[]", b"null", b"{}", b'{"output": 1}', b"\xff", json.dumps(TOLD).replace('"2"', '"\\ud800"', 1).encode(),
     b"[" * 100_000, json.dumps(TOLD | {"receipt": {"wall_s": "1", "cpu_s": 1, "peak_memory_bytes": 1}}).encode(),
     b'{"output":null,"error":null,"receipt":{"wall_s":NaN,"cpu_s":1,"peak_memory_bytes":1}}'],
)  # fmt: skip
def test_a_malformed_result_is_a_breach(told):
    """Garbage, wrong types, lone surrogates, depth and NaN (catalogue W10)."""
    with pytest.raises(ProtocolBreach):
        read_outcome(frame(told))


@pytest.mark.parametrize("parts", [(), (b"",) * 11, (b"",) * 12, (b"x" * 40, b"\xff", *(b"",) * 10)])
def test_a_malformed_frame_is_a_breach(parts):
    """Too few parts, an empty head, an id that is no text."""
    with pytest.raises(ProtocolBreach):
        read_outcome(Frame(Kind.OUTCOME, 0, 1, parts))


def test_references_are_whole_content_ids():
    """A cut id is a breach."""
    with pytest.raises(ProtocolBreach, match="content ids"):
        read_outcome(frame(references=b"a" * 33))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_result_or_a_breach(told):
    """No bytes get another exception out of the reader."""
    try:
        read_outcome(frame(told))
    except ProtocolBreach:
        return
    raise AssertionError("random bytes were a result")


def test_many_unsaved_names_are_counted():
    """A tenant cannot make a result grow without bound."""
    outcome = read_outcome(frame(unsaved={f"n{i}": "file" for i in range(UNSAVED_MAX + 5)}))

    assert len(outcome.payload["unsaved"]) == UNSAVED_MAX + 1
    assert outcome.payload["unsaved"]["…"] == "5 more names"


def test_the_journal_holds_enough_to_answer_again():
    """Result, id, type, body and cursor range, as JSON."""
    entry = json.loads(journal_entry(read_outcome(frame()), 4, "e", 12.5))

    assert entry["body"] == {"code": "1+1"}
    assert (entry["seq"], entry["id"], entry["type"], entry["at"], entry["etag"]) == (3, "id", "eval", 12.5, "e")
    assert entry["cursors"] == ["4.7", "4.9"]
    assert with_commit(entry["result"], seq=3, state="committed", durable="fsync", etag="e")["etag"] == "e"


def test_bytes_that_are_no_text_are_shown():
    """Nothing that was written is dropped."""
    assert text_of(b"a\xe9\xff") == "a\\xe9\\xff"
