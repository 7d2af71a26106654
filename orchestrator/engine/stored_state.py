"""A checkpoint on its way out of the store: the manifest first, then each chunk as it comes, opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from orchestrator.core.seal import SealError
from orchestrator.core.session import Checkpoint
from orchestrator.engine.services import Services
from replwire.errors import WireError

CHUNKS_AT_ONCE: Final = 8
"""Fetched with one call, and opened without anything else being done: about 2 MB."""


class SupersededError(Exception):
    """Another front door has raised the generation again."""


class StoredState:
    """Of one session, read by whoever has raised it to `generation`; raises `WireError("restore_failed")` for what is
    not as it was sealed."""

    def __init__(
        self, services: Services, tenant: str, session: str, generation: int, checkpoint: Checkpoint
    ) -> None:  # fmt: skip
        self._services = services
        self._tenant = tenant
        self._session = session
        self._generation = generation
        self._references = tuple(dict.fromkeys(checkpoint.references))
        try:
            self.manifest = services.vault.open_manifest(
                tenant, session, checkpoint.generation, checkpoint.seq, checkpoint.manifest
            )
        except SealError:
            raise _forged() from None

    @property
    def count(self) -> int:
        """Of its chunks."""
        return len(self._references)

    async def chunks(self) -> AsyncGenerator[tuple[bytes, bytes]]:
        """Content id and bytes of each, in no particular order: what the store sends is passed on while it reads on.
        Raises `SupersededError` too."""
        starts = range(0, self.count, CHUNKS_AT_ONCE)
        reads = [asyncio.ensure_future(self._read(self._references[at : at + CHUNKS_AT_ONCE])) for at in starts]
        try:
            for read in asyncio.as_completed(reads):
                for item, sealed in (await read).items():
                    yield item, self._opened(item, sealed)
        finally:
            for task in reads:
                task.cancel()
            await asyncio.gather(*reads, return_exceptions=True)

    async def _read(self, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        store = self._services.store
        found = await store.chunks(self._session, references)
        if len(found) == len(references):
            return found
        record = await store.read(self._session)
        if record is not None and record.generation != self._generation:
            raise SupersededError
        raise WireError("restore_failed", "the store lacks a part of the checkpoint", cause="missing")

    def _opened(self, item: bytes, sealed: bytes) -> bytes:
        try:
            return self._services.vault.open_chunk(self._tenant, item, sealed)
        except SealError:
            raise _forged() from None


def _forged() -> WireError:
    return WireError("restore_failed", "the checkpoint is not as it was sealed", cause="integrity")
