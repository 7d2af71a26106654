"""How records, workers and policies are written in the store, and read back with suspicion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from orchestrator.core.session import Checkpoint, KeptStates, KnownId, Pin, Record, SessionPolicy, Status, WorkerAddress
from orchestrator.stores.keys import CONTENT_ID_BYTES
from orchestrator.stores.redis.errors import damaged

_MS: Final = 1000.0
_NONSENSE: Final = (ValueError, KeyError, TypeError, IndexError, AttributeError)


def policy_text(policy: SessionPolicy) -> str:
    """A policy as JSON."""
    return json.dumps(asdict(policy), separators=(",", ":"))


def worker_text(worker: WorkerAddress | None) -> str:
    """An address as JSON; empty for none."""
    return "" if worker is None else json.dumps(asdict(worker), separators=(",", ":"))


def record_of(session: str, reply: Sequence[bytes]) -> Record | None:
    """The record from HGETALL's reply; None where there is none. Raises `WireError` for one that cannot be."""
    if not reply:
        return None
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    try:
        return _record(session, fields)
    except _NONSENSE:
        raise damaged(f"the record of {session}") from None


def _record(session: str, fields: Mapping[bytes, bytes]) -> Record:
    events, seqs = _generations(fields)
    worker, linked_at = fields[b"worker"], int(fields.get(b"linked_ms", 0)) / _MS
    return Record(
        session=session,
        policy=SessionPolicy(**json.loads(fields[b"policy"])),
        status=Status(fields[b"status"].decode("ascii")),
        created_at=int(fields[b"created_ms"]) / _MS,
        generation=int(fields[b"generation"]),
        nonce=fields[b"nonce"].decode("ascii"),
        seq=int(fields[b"seq"]),
        etag=fields[b"etag"].decode("ascii"),
        seen_at=max(int(fields[b"seen_ms"]) / _MS, linked_at),
        last_events=events,
        last_seqs=seqs,
        worker=WorkerAddress(**json.loads(worker)) if worker else None,
        owner=fields[b"owner"].decode("utf-8"),
        deadline=int(fields[b"deadline_ms"]) / _MS,
        # Release 0.1 wrote neither.
        cause=fields.get(b"cause", b"").decode("utf-8"),
        linked_at=linked_at,
    )


def _generations(fields: Mapping[bytes, bytes]) -> tuple[dict[int, int], dict[int, int]]:
    events, seqs = {}, {}
    for name, value in fields.items():
        if name.startswith(b"g:"):
            seq, event = value.split(b" ")
            seqs[int(name[2:])], events[int(name[2:])] = int(seq), int(event)
    return events, seqs


def known_ids_of(session: str, reply: Sequence[bytes]) -> list[KnownId]:
    """The id table, oldest first, from HGETALL's reply."""
    try:
        found = [_known_id(name, row) for name, row in zip(reply[::2], reply[1::2], strict=True)]
    except _NONSENSE:
        raise damaged(f"the id table of {session}") from None
    return sorted(found, key=lambda known: known.seq)


def _known_id(name: bytes, row: bytes) -> KnownId:
    seq, _, body_hash = row.split(b" ", 2)
    return KnownId(name.decode("utf-8"), body_hash, int(seq))


def state_row(generation: int, etag: str, manifest: bytes) -> bytes:
    """A state but for its seq and references, as it is stored."""
    return b"%d %b %b" % (generation, etag.encode("ascii"), manifest)


def checkpoint_of(session: str, reply: Sequence[bytes]) -> Checkpoint:
    """A state from seq, row and references."""
    try:
        seq, row, references = reply
        generation, etag, manifest = row.split(b" ", 2)
        joined = split_references(session, references)
        return Checkpoint(int(seq), int(generation), manifest, joined, etag.decode("ascii"))
    except _NONSENSE:
        raise damaged(f"a state of {session}") from None


def kept_of(session: str, reply: Sequence[Sequence[bytes]]) -> KeptStates:
    """Which states are kept, from seqs and, in a row, names, seqs and etags of pins."""
    try:
        seqs, row = reply
        found = zip(row[::3], row[1::3], row[2::3], strict=True)
        pins = (Pin(name.decode("utf-8"), int(seq), etag.decode("ascii")) for name, seq, etag in found)
        return KeptStates(tuple(map(int, seqs)), tuple(sorted(pins, key=lambda pin: pin.name)))
    except _NONSENSE:
        raise damaged(f"the states of {session}") from None


def split_references(session: str, joined: bytes) -> tuple[bytes, ...]:
    """Content ids out of the row that they are stored as."""
    if len(joined) % CONTENT_ID_BYTES:
        raise damaged(f"the references of {session}")
    return tuple(joined[at : at + CONTENT_ID_BYTES] for at in range(0, len(joined), CONTENT_ID_BYTES))


def numbered(session: str, reply: Any) -> tuple[int, bytes]:
    """A pair of seq and sealed entry."""
    try:
        return int(reply[0]), bytes(reply[1])
    except _NONSENSE:
        raise damaged(f"an entry of {session}") from None
