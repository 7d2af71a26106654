"""Sealing: what goes into the store is AES-256-GCM under a key of its tenant, and bound to its place.

Pure: the caller draws the nonce. A sealed thing is `version (1) | nonce (12) | ciphertext and tag`; its place (what it
is, whose, where it belongs) is authenticated and not stored, so that a blob moved elsewhere does not open. Keys come
from one master key by HKDF-SHA256 (RFC 5869), one per tenant; random nonces of 96 bits are good for 2**32 sealings
under one key (NIST SP 800-38D, section 8.3).
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES: Final = 12
MASTER_KEY_BYTES_MIN: Final = 32
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + 16
"""How much longer the sealed form is than the plain one."""

_VERSION: Final = b"\x01"
_KEY_BYTES: Final = 32
_KEY_PURPOSE: Final = b"bascule seal v1\0"


class SealError(Exception):
    """It does not open: another key, another place, or changed since. Also: a key or nonce of a wrong size."""


class Sealer:
    """Seals and opens for one tenant. Every method raises `SealError` only."""

    __slots__ = ("_cipher", "_tenant")

    def __init__(self, master_key: bytes, tenant: str) -> None:
        self._tenant = tenant.encode("utf-8")
        self._cipher = AESGCM(tenant_key(master_key, tenant))

    def seal_chunk(self, content_id: bytes, plain: bytes, nonce: bytes) -> bytes:
        """A chunk, bound to tenant and content id."""
        return self._seal(self._chunk_place(content_id), plain, nonce)

    def open_chunk(self, content_id: bytes, sealed: bytes) -> bytes:
        """The chunk's bytes; that they hash to the content id is for the caller to check."""
        return self._open(self._chunk_place(content_id), sealed)

    def seal_manifest(self, session: str, generation: int, seq: int, plain: bytes, nonce: bytes) -> bytes:
        """A checkpoint's manifest, bound to tenant, session, generation and seq."""
        return self._seal(self._manifest_place(session, generation, seq), plain, nonce)

    def open_manifest(self, session: str, generation: int, seq: int, sealed: bytes) -> bytes:
        """The manifest as the worker made it."""
        return self._open(self._manifest_place(session, generation, seq), sealed)

    def seal_entry(self, session: str, seq: int, plain: bytes, nonce: bytes) -> bytes:
        """A journal entry, bound to tenant, session and seq."""
        return self._seal(self._entry_place(session, seq), plain, nonce)

    def open_entry(self, session: str, seq: int, sealed: bytes) -> bytes:
        """The journal entry."""
        return self._open(self._entry_place(session, seq), sealed)

    def _chunk_place(self, content_id: bytes) -> bytes:
        return _place(b"chunk", self._tenant, content_id)

    def _manifest_place(self, session: str, generation: int, seq: int) -> bytes:
        return _place(b"manifest", self._tenant, session.encode(), b"%d" % generation, b"%d" % seq)

    def _entry_place(self, session: str, seq: int) -> bytes:
        return _place(b"entry", self._tenant, session.encode(), b"%d" % seq)

    def _seal(self, place: bytes, plain: bytes, nonce: bytes) -> bytes:
        if len(nonce) != NONCE_BYTES:
            raise SealError(f"a nonce has {NONCE_BYTES} bytes")
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, place)

    def _open(self, place: bytes, sealed: bytes) -> bytes:
        if len(sealed) < OVERHEAD_BYTES or sealed[:1] != _VERSION:
            raise SealError("this is not a sealed thing of a known version")
        try:
            # Of a chunk, a slice would be one more copy into fresh memory.
            return self._cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], memoryview(sealed)[1 + NONCE_BYTES :], place)
        except InvalidTag:
            raise SealError("it was sealed with another key, for another place, or has been changed") from None


def tenant_key(master_key: bytes, tenant: str) -> bytes:
    """The tenant's key of 256 bits; raises `SealError` for a master key that is too short to be one."""
    if len(master_key) < MASTER_KEY_BYTES_MIN:
        raise SealError(f"a master key has at least {MASTER_KEY_BYTES_MIN} bytes")
    purpose = _KEY_PURPOSE + tenant.encode("utf-8")
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(master_key)


def _place(*fields: bytes) -> bytes:
    """Each field with its length in front, so that no two places are written the same way."""
    return _VERSION + b"".join(struct.pack(">I", len(field)) + field for field in fields)
