"""A commit and the store's answers to it; the hash chain over commits; stamps on what was dispatched."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

SEQ_DIGITS_MAX: Final = 20
EMPTY_ETAG: Final = ""
"""The etag of a session without commits."""


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """A checkpoint as a worker hands it out, not yet sealed: opaque manifest and the chunk ids that it needs."""

    manifest: bytes
    references: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One eval of a commit. `blob` is its sealed journal entry: code, outcome, output, receipt, cursor range."""

    seq: int
    request_id: str
    body_hash: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Evals `entries[0].seq`..n with the checkpoint of n: one atomic step in the store, or nothing.

    `chunks` are sealed and new with this commit; `references` are all chunk ids that the manifest needs.
    """

    session: str
    generation: int
    nonce: str
    base_etag: str
    etags: tuple[str, ...]
    """After each entry; the last one is the session's new etag."""
    entries: tuple[Entry, ...]
    manifest: bytes
    references: tuple[bytes, ...]
    chunks: tuple[tuple[bytes, bytes], ...]
    last_event: int
    """Number of the last event of entry n in this generation."""

    @property
    def seq(self) -> int:
        """The seq that the session has after it."""
        return self.entries[-1].seq

    @property
    def etag(self) -> str:
        """The etag that the session has after it."""
        return self.etags[-1]


class Answer(Enum):
    """What the commit script answers; the table is in durability.md."""

    OK = "OK"
    DUP = "DUP"
    FENCED = "FENCED"
    CONFLICT = "CONFLICT"
    GAP = "GAP"
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True)
class CommitReply:
    """The answer, with what belongs to it."""

    answer: Answer
    durable: str = "none"
    """With OK and DUP: `fsync` or `memory`, what the store really did."""
    stored: tuple[tuple[int, bytes], ...] = ()
    """With DUP: seq and sealed blob of each known id."""
    seq: int = 0
    """With GAP: the last seq in the store."""
    etag: str = EMPTY_ETAG
    """With GAP and DUP: the last etag in the store."""
    missing: tuple[bytes, ...] = ()
    """With MISSING: chunk ids that are absent."""


def body_hash(type_: str, body: bytes) -> bytes:
    """What makes two requests the same: type and canonical payload."""
    return hashlib.sha256(type_.encode("ascii") + b"\0" + body).digest()


def stamp(key: bytes, session: str, generation: int, request_id: str, hashed: bytes, principal: str) -> bytes:
    """MAC over a dispatched request, by a key that only front doors hold (HMAC-SHA256, RFC 2104)."""
    fields = (session, str(generation), request_id, principal)
    text = "\0".join(fields).encode("utf-8") + b"\0" + hashed
    return hmac.digest(key, text, "sha256")


def link_key(key: bytes, session: str, generation: int) -> str:
    """What a further link to a worker shows; front doors derive it, the tenant cannot."""
    return hmac.digest(key, f"link\0{session}\0{generation}".encode(), "sha256").hex()


def receipt(key: bytes, session: str, generation: int, seq: int) -> bytes:
    """That a front door has heard of the commit of `seq`, for the others: a seq, and a MAC like a stamp."""
    said = b"receipt\0%b\0%d\0%d" % (session.encode(), generation, seq)
    return b"%d " % seq + hmac.digest(key, said, "sha256")


def confirmed_by(given: bytes, key: bytes, session: str, generation: int) -> int:
    """The seq of a receipt; 0 for one that no front door made."""
    number, _, _ = given.partition(b" ")
    seq = int(number) if number.isdigit() and len(number) < SEQ_DIGITS_MAX else 0
    return seq if hmac.compare_digest(given, receipt(key, session, generation, seq)) else 0


class Numbered(Protocol):
    """What the chain covers of an eval: an entry, or the outcome that it is made of."""

    @property
    def seq(self) -> int: ...
    @property
    def request_id(self) -> str: ...
    @property
    def body_hash(self) -> bytes: ...


def chain(base_etag: str, entries: Sequence[Numbered], manifest_digest: bytes) -> tuple[str, ...]:
    """The etags after each entry: a hash chain over ids and body hashes, the last one over the checkpoint as well."""
    etags = []
    for entry in entries:
        digest = hashlib.sha256(base_etag.encode("ascii"))
        digest.update(b"%d\0" % entry.seq + entry.request_id.encode("utf-8") + b"\0" + entry.body_hash)
        if entry is entries[-1]:
            digest.update(manifest_digest)
        base_etag = digest.hexdigest()[:32]
        etags.append(base_etag)
    return tuple(etags)
