"""Seals what goes into the store and opens what comes out, with keys that never enter a worker."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.core.seal import NONCE_BYTES, Sealer


class Vault:
    """A sealer per tenant, derived from the installation's key and remembered; draws the nonces."""

    def __init__(self, seal_key: bytes, random: Callable[[int], bytes]) -> None:
        self._seal_key = seal_key
        self._random = random
        self._sealers: dict[str, Sealer] = {}

    def _of(self, tenant: str) -> Sealer:
        sealer = self._sealers.get(tenant)
        if sealer is None:
            sealer = self._sealers[tenant] = Sealer(self._seal_key, tenant)
        return sealer

    def seal_chunk(self, tenant: str, content_id: bytes, plain: bytes) -> bytes:
        """See `Sealer`."""
        return self._of(tenant).seal_chunk(content_id, plain, self._random(NONCE_BYTES))

    def open_chunk(self, tenant: str, content_id: bytes, sealed: bytes) -> bytes:
        """See `Sealer`; raises `SealError`."""
        return self._of(tenant).open_chunk(content_id, sealed)

    def seal_manifest(self, tenant: str, session: str, generation: int, seq: int, plain: bytes) -> bytes:
        """See `Sealer`."""
        return self._of(tenant).seal_manifest(session, generation, seq, plain, self._random(NONCE_BYTES))

    def open_manifest(self, tenant: str, session: str, generation: int, seq: int, sealed: bytes) -> bytes:
        """See `Sealer`; raises `SealError`."""
        return self._of(tenant).open_manifest(session, generation, seq, sealed)

    def seal_entry(self, tenant: str, session: str, seq: int, plain: bytes) -> bytes:
        """See `Sealer`."""
        return self._of(tenant).seal_entry(session, seq, plain, self._random(NONCE_BYTES))

    def open_entry(self, tenant: str, session: str, seq: int, sealed: bytes) -> bytes:
        """See `Sealer`; raises `SealError`."""
        return self._of(tenant).open_entry(session, seq, sealed)
