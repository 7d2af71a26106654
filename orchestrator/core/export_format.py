"""The file that a session travels in: a head that anyone may read, then records under the operator's key.

    magic (8) | version u16 | salt (32) | key check (16) | nonce prefix (7) | length u32 | head, JSON
    segment*: length u32, its top bit set on the last one | AES-256-GCM of at most `SEGMENT_BYTES`

The segments are STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015): each nonce is prefix, counter and a mark
of the last one, so that none can be cut off, left out, repeated or moved. The digest of the head is authenticated with
each. Keys come from the operator's key and the salt by HKDF-SHA256 (RFC 5869). In the segments is one stream of
records, `kind u8 | length u32 | bytes`; the last record has their counts and an HMAC-SHA256 over head and records.

Pure: bytes in, bytes out; the caller draws salt and prefix. What does not fit is a `WireError` with a `cause`.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator.core.encoding import to_text
from replwire.envelopes import decode_object
from replwire.errors import WireError
from replwire.frames import FRAME_BYTES_MAX

MAGIC: Final = b"BASCULE\0"
VERSION: Final = 1
SALT_BYTES: Final = 32
PREFIX_BYTES: Final = 7
SEGMENT_BYTES: Final = 64 * 1024
"""Of what is sealed at once."""
HEAD_BYTES_MAX: Final = 16 * 1024
"""Of the JSON in front."""
RECORD_BYTES_MAX: Final = FRAME_BYTES_MAX + 64 * 1024
"""Of one record: none can be larger than what a worker may send at once."""

_FIXED: Final = struct.Struct(f">8sH{SALT_BYTES}s16s{PREFIX_BYTES}sI")
_LENGTH: Final = struct.Struct(">I")
_RECORD: Final = struct.Struct(">BI")
_END: Final = struct.Struct(">Q32s")
_LAST: Final = 1 << 31
_TAG_BYTES: Final = 16
_PURPOSE: Final = b"bascule export v1"


class Kind:
    """Of a record."""

    END: Final = 0
    POLICY: Final = 1  # JSON
    MANIFEST: Final = 2
    REFERENCES: Final = 3  # content ids
    ENTRY: Final = 4  # a journal entry, JSON
    CHUNK: Final = 5  # content id, bytes


class Record(NamedTuple):
    """One record; never an END, which only the reader sees."""

    kind: int
    data: bytes


def _keys(key: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """For sealing, for the signature, and what tells another key from damage."""
    made = HKDF(algorithm=SHA256(), length=80, salt=salt, info=_PURPOSE).derive(key)
    return made[:32], made[32:64], made[64:]


class _Segments:
    """Nonces in their order."""

    def __init__(self, key: bytes, prefix: bytes, head: bytes) -> None:
        self._cipher = AESGCM(key)
        self._prefix = prefix
        self._bound_to = hashlib.sha256(head).digest()
        self._count = 0

    def _nonce(self, is_last: bool) -> bytes:
        nonce = self._prefix + struct.pack(">IB", self._count, is_last)
        self._count += 1
        return nonce

    def seal(self, plain: bytes, *, is_last: bool) -> bytes:
        """The next segment, its length in front."""
        sealed = self._cipher.encrypt(self._nonce(is_last), plain, self._bound_to)
        return _LENGTH.pack(len(sealed) | (_LAST if is_last else 0)) + sealed

    def open(self, sealed: bytes, *, is_last: bool) -> bytes:
        """What is in the next segment; raises `WireError`."""
        try:
            return self._cipher.decrypt(self._nonce(is_last), sealed, self._bound_to)
        except InvalidTag:
            raise _bad("damaged", "the file was changed, or parts of it are not in their place") from None


class ExportWriter:
    """Call `begin`, then `add` for each record, then `finish`; what they return, in turn, is the file."""

    def __init__(self, key: bytes, head: dict[str, Any], salt: bytes, prefix: bytes) -> None:
        text = to_text(head).encode("utf-8")
        seal_key, self._sign_key, check = _keys(key, salt)
        self._head = _FIXED.pack(MAGIC, VERSION, salt, check, prefix, len(text)) + text
        self._segments = _Segments(seal_key, prefix, self._head)
        self._digest = hashlib.sha256(self._head)
        self._plain = bytearray()
        self._count = 0

    def begin(self) -> bytes:
        """The head."""
        return self._head

    def add(self, kind: int, data: bytes) -> bytes:
        """As many whole segments as there are now."""
        record = _RECORD.pack(kind, len(data)) + data
        self._digest.update(record)
        self._count += 1
        self._plain += record
        return b"".join(self._full_segments())

    def finish(self) -> bytes:
        """Counts, signature, and the last segment."""
        signature = hmac.digest(self._sign_key, self._digest.digest(), "sha256")
        end = _END.pack(self._count, signature)
        self._plain += _RECORD.pack(Kind.END, len(end)) + end
        rest = b"".join(self._full_segments())
        return rest + self._segments.seal(bytes(self._plain), is_last=True)

    def _full_segments(self) -> Iterator[bytes]:
        while len(self._plain) > SEGMENT_BYTES:
            yield self._segments.seal(bytes(self._plain[:SEGMENT_BYTES]), is_last=False)
            del self._plain[:SEGMENT_BYTES]


class ExportReader:
    """Feed it the file in pieces of any size; call `finish` when there is no more. Holds a record and a segment."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._sign_key = b""
        self._raw = bytearray()
        self._plain = bytearray()
        self._segments: _Segments | None = None
        self._digest = hashlib.sha256()
        self._count = 0
        self._is_over = False
        self._is_signed = False
        self.head: dict[str, Any] | None = None
        """What the head says, once it has come. It is true only when `finish` has returned."""

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that are whole now; raises `WireError`."""
        self._raw += data
        if self.head is None and not self._read_head():
            return
        while (plain := self._next_segment()) is not None:
            self._plain += plain
            yield from self._records()

    def finish(self) -> None:
        """Raises `WireError` unless all of it came, as it was written."""
        if self.head is None or not self._is_over:
            raise _bad("truncated", "the file ends early")
        if not self._is_signed or self._plain:
            raise _bad("damaged", "the file ends in the middle of a record, or without its signature")

    def _read_head(self) -> bool:
        raw = self._raw
        if not MAGIC.startswith(raw[: len(MAGIC)]):
            raise _bad("not_an_export", "this is no exported session")
        if len(raw) < _FIXED.size:
            return False
        _, version, salt, check, prefix, length = _FIXED.unpack_from(raw)
        if version != VERSION:
            raise _bad("version", f"the file has version {version}; version {VERSION} can be read here")
        if length > HEAD_BYTES_MAX:
            raise _bad("damaged", f"the head is over {HEAD_BYTES_MAX} bytes")
        size = _FIXED.size + length
        if len(raw) < size:
            return False
        self._open(bytes(raw[:size]), salt, check, prefix)
        del raw[:size]
        return True

    def _open(self, head: bytes, salt: bytes, check: bytes, prefix: bytes) -> None:
        seal_key, self._sign_key, expected = _keys(self._key, salt)
        if not hmac.compare_digest(check, expected):
            raise WireError("forbidden", "the file was sealed with another key, or its head was changed", cause="key")
        self._segments = _Segments(seal_key, prefix, head)
        self._digest.update(head)
        try:
            self.head = decode_object(head[_FIXED.size :].decode("utf-8"), depth_max=8)
        except (UnicodeDecodeError, WireError):
            raise _bad("damaged", "the head is not JSON") from None

    def _next_segment(self) -> bytes | None:
        raw = self._raw
        if self._is_over and raw:
            raise _bad("damaged", "there is more behind the end of the file")
        if self._segments is None or len(raw) < _LENGTH.size:
            return None
        (word,) = _LENGTH.unpack_from(raw)
        is_last, size = bool(word & _LAST), word & ~_LAST
        if not _TAG_BYTES <= size <= SEGMENT_BYTES + _TAG_BYTES:
            raise _bad("damaged", "a segment has a size that none has")
        if len(raw) < _LENGTH.size + size:
            return None
        plain = self._segments.open(bytes(raw[_LENGTH.size : _LENGTH.size + size]), is_last=is_last)
        del raw[: _LENGTH.size + size]
        self._is_over = is_last
        return plain

    def _records(self) -> Iterator[Record]:
        plain = self._plain
        while len(plain) >= _RECORD.size:
            kind, size = _RECORD.unpack_from(plain)
            if size > RECORD_BYTES_MAX:
                raise WireError("too_large", f"a record is over {RECORD_BYTES_MAX} bytes", cause="damaged")
            end = _RECORD.size + size
            if len(plain) < end:
                return
            record = bytes(plain[:end])
            del plain[:end]
            if self._is_signed:
                raise _bad("damaged", "there is a record behind the signature")
            if kind == Kind.END:
                self._check_end(record[_RECORD.size :])
            else:
                self._digest.update(record)
                self._count += 1
                yield Record(kind, record[_RECORD.size :])

    def _check_end(self, data: bytes) -> None:
        expected = _END.pack(self._count, hmac.digest(self._sign_key, self._digest.digest(), "sha256"))
        if not hmac.compare_digest(data, expected):
            raise _bad("damaged", "the signature does not fit what was read")
        self._is_signed = True


def _bad(cause: str, message: str) -> WireError:
    return WireError("bad_message", message, cause=cause)
