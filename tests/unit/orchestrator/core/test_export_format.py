"""The file of an exported session: read as it was written, and by nobody who changed it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.export_format import (
    HEAD_BYTES_MAX,
    PREFIX_BYTES,
    RECORD_BYTES_MAX,
    SALT_BYTES,
    SEGMENT_BYTES,
    ExportReader,
    ExportWriter,
    Kind,
    Record,
)
from replwire.errors import WireError

KEY = b"k" * 32
HEAD = {"tenant": "acme", "session": "ses", "seq": 3}
FIXED_BYTES = 8 + 2 + SALT_BYTES + 16 + PREFIX_BYTES + 4
RECORDS = [Record(Kind.MANIFEST, b"m" * 100), Record(Kind.CHUNK, bytes(range(256)) * 600), Record(Kind.ENTRY, b"")]


def written(records: list[Record], key: bytes = KEY, head: dict[str, object] | None = None) -> list[bytes]:
    """The pieces of a file, as they come."""
    writer = ExportWriter(key, HEAD if head is None else head, b"s" * SALT_BYTES, b"p" * PREFIX_BYTES)
    return [writer.begin(), *(writer.add(*record) for record in records), writer.finish()]


def read(data: bytes, step: int = 1 << 20, key: bytes = KEY) -> list[Record]:
    """The records of a file that comes in pieces."""
    reader = ExportReader(key)
    found = [record for start in range(0, len(data), step) for record in reader.feed(data[start : start + step])]
    reader.finish()
    return found


def refusal(data: bytes, **more: object) -> tuple[str, object]:
    """Code and cause of the error that reading it raises."""
    with pytest.raises(WireError) as caught:
        read(data, **more)  # type: ignore[arg-type]
    return caught.value.code, caught.value.details["cause"]


def segments(data: bytes) -> tuple[bytes, list[bytes]]:
    """The head, and each segment with its length."""
    head_size = FIXED_BYTES + struct.unpack(">I", data[FIXED_BYTES - 4 : FIXED_BYTES])[0]
    head, rest, found = data[:head_size], data[head_size:], []
    while rest:
        size = 4 + (struct.unpack(">I", rest[:4])[0] & 0x7FFF_FFFF)
        found.append(rest[:size])
        rest = rest[size:]
    return head, found


@given(
    st.lists(st.tuples(st.integers(1, 5), st.binary(max_size=200)), max_size=8),
    st.integers(1, 300),
    st.integers(0, 2 * SEGMENT_BYTES),
)
def test_what_was_written_is_read(records, step, padding):
    """Whatever the records, and in pieces of any size."""
    records = [*(Record(*item) for item in records), Record(Kind.CHUNK, b"x" * padding)]
    data = b"".join(written(records))
    reader = ExportReader(KEY)
    head, body = data[:64], data[64:]
    found = [record for byte in head for record in reader.feed(bytes([byte]))]
    found += [
        record for start in range(0, len(body), step * 97) for record in reader.feed(body[start : start + step * 97])
    ]
    reader.finish()
    assert found == records and reader.head == HEAD


def test_memory_is_bounded_by_segments():
    """Nothing is held back but the segment that is not full yet."""
    pieces = written([Record(Kind.CHUNK, b"x" * 250_000)] * 8)
    assert all(len(piece) > 128 * 1024 for piece in pieces[2:-1]) and len(pieces[-1]) <= SEGMENT_BYTES + 64


def test_a_file_that_ends_early_is_noticed_wherever_it_ends():
    """In the head, between segments and within them; also without the last segment alone."""
    data = b"".join(written(RECORDS))
    head, parts = segments(data)
    ends = [0, 5, 20, FIXED_BYTES, len(head) - 1, len(head), len(head) + 2, len(data) - 1]
    ends += [len(head) + sum(map(len, parts[:count])) for count in range(len(parts))]
    assert len(parts) >= 3
    assert {refusal(data[:end]) for end in ends} == {("bad_message", "truncated")}


def test_segments_have_their_place():
    """None can be left out, repeated, moved, made the last one, or follow it."""
    head, parts = segments(b"".join(written(RECORDS)))
    last = b"".join([struct.pack(">I", struct.unpack(">I", parts[0][:4])[0] | 1 << 31), parts[0][4:]])
    forged = [parts[1:], [parts[1], parts[0], *parts[2:]], [parts[0], *parts], [last], [*parts, parts[-1]]]
    assert {refusal(head + b"".join(segment)) for segment in forged} == {("bad_message", "damaged")}


def test_segments_of_two_files_do_not_mix():
    """Even with the same salt and prefix, which no two files have: the head is bound to each."""
    head, _ = segments(b"".join(written(RECORDS)))
    _, others = segments(b"".join(written(RECORDS, head={**HEAD, "seq": 4})))
    assert refusal(head + b"".join(others)) == ("bad_message", "damaged")


@given(st.data())
def test_no_bit_can_be_turned(data):
    """Of the head, of a length, of a segment."""
    file = bytearray(b"".join(written([Record(Kind.MANIFEST, b"m" * 50)])))
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(WireError) as caught:
        read(bytes(file))
    assert caught.value.code in ("bad_message", "forbidden")


def test_another_key_is_told_from_damage():
    """Whoever imports it looks for the right key, not for a fresh copy."""
    assert refusal(b"".join(written(RECORDS)), key=b"o" * 32) == ("forbidden", "key")


def test_what_is_no_export_says_so():
    """At the first bytes; a later version too, which we cannot read."""
    data = bytearray(b"".join(written(RECORDS)))
    assert refusal(b"PK\3\4 an archive") == ("bad_message", "not_an_export")
    data[9] = 2
    assert refusal(bytes(data)) == ("bad_message", "version")


def test_sizes_are_looked_at_before_anything_is_kept():
    """A head, a segment or a record that is larger than any is refused by its length."""
    data = b"".join(written(RECORDS))
    head, parts = segments(data)
    large_head = data[: FIXED_BYTES - 4] + struct.pack(">I", HEAD_BYTES_MAX + 1)
    large_segment = head + struct.pack(">I", SEGMENT_BYTES + 17)
    assert refusal(large_head) == refusal(large_segment) == ("bad_message", "damaged")
    large_record = b"".join(written([Record(Kind.CHUNK, b"x" * (RECORD_BYTES_MAX + 1))]))
    assert refusal(large_record)[0] == "too_large" and len(parts) > 1


def test_a_head_is_json():
    """The operator's own key does not make nonsense sense."""
    writer = ExportWriter(KEY, HEAD, b"s" * SALT_BYTES, b"p" * PREFIX_BYTES)
    assert writer.begin().endswith(b'"seq":3}')
    with pytest.raises(WireError):
        read(writer.begin() + b"\0\0\0\0")
