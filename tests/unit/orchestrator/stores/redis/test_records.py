"""Records as they are written, and read with suspicion."""

import json

import pytest

from orchestrator.core.session import KnownId, SessionPolicy, Status, WorkerAddress
from orchestrator.stores.redis.records import (
    known_ids_of,
    policy_text,
    record_of,
    split_references,
    worker_text,
)
from replwire.errors import WireError

POLICY = SessionPolicy("acme", "ann", "async", "image", "a näme", True, 5.5, {"code_bytes_max": 9})
WORKER = WorkerAddress("docker", "wrk_a", "/run/a.sock", 4000)
FIELDS = {
    b"status": b"open",
    b"policy": policy_text(POLICY).encode(),
    b"created_ms": b"1730847625123",
    b"seen_ms": b"1730847626000",
    b"generation": b"3",
    b"nonce": b"abc",
    b"seq": b"7",
    b"etag": b"e7",
    b"owner": b"front",
    b"deadline_ms": b"1730847656000",
    b"worker": worker_text(WORKER).encode(),
    b"g:1": b"4 40",
    b"g:3": b"7 12",
}


def reply(**changed: bytes) -> list[bytes]:
    """HGETALL's reply."""
    fields = FIELDS | {name.encode(): value for name, value in changed.items()}
    return [part for pair in fields.items() for part in pair]


def test_a_record_is_read_as_it_was_written():
    """All fields, with times in seconds and numbers per generation."""
    record = record_of("ses_a_b", reply())
    assert record is not None
    assert (record.session, record.policy, record.worker) == ("ses_a_b", POLICY, WORKER)
    assert (record.status, record.generation, record.nonce, record.seq, record.etag) == (Status.OPEN, 3, "abc", 7, "e7")
    assert (record.created_at, record.seen_at, record.deadline) == (1730847625.123, 1730847626.0, 1730847656.0)
    assert (record.last_seqs, record.last_events, record.owner) == ({1: 4, 3: 7}, {1: 40, 3: 12}, "front")


def test_no_fields_are_no_record_and_no_worker_is_none():
    """Empty is absent, in both."""
    assert record_of("ses_a_b", []) is None
    record = record_of("ses_a_b", reply(worker=b""))
    assert record is not None
    assert record.worker is None
    assert worker_text(None) == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"status": b"ajar"},
        {"seq": b"seven"},
        {"policy": b"{"},
        {"policy": json.dumps({"tenant": "a", "subject": "b", "root": True}).encode()},
        {"worker": b"[1]"},
        {"etag": b"\xff"},
        {"g:2": b"4"},
    ],
)
def test_nonsense_is_damage(changed):
    """Whatever is wrong with it, one error says so."""
    with pytest.raises(WireError) as raised:
        record_of("ses_a_b", reply(**changed))
    assert raised.value.details["cause"] == "damaged"


def test_the_id_table_is_in_the_order_of_seq():
    """Body hashes may hold any byte, spaces and newlines too."""
    odd = b" \n\x00" * 10 + b"ab"
    rows = [b"later", b"12 1730847625 " + b"h" * 32, "früher".encode(), b"9 1730847625 " + odd]
    assert known_ids_of("ses_a_b", rows) == [KnownId("früher", odd, 9), KnownId("later", b"h" * 32, 12)]
    with pytest.raises(WireError):
        known_ids_of("ses_a_b", [b"id", b"no row"])


def test_references_come_in_rows():
    """32 bytes each; a rest is damage."""
    assert split_references("ses_a_b", b"") == ()
    assert split_references("ses_a_b", b"a" * 32 + b"b" * 32) == (b"a" * 32, b"b" * 32)
    with pytest.raises(WireError):
        split_references("ses_a_b", b"a" * 33)
