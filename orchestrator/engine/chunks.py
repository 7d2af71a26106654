"""Chunks that a worker sent and no commit has taken yet: checked, bounded, forgotten when nothing refers to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from orchestrator.core.outcomes import ProtocolBreach
from orchestrator.engine.services import digest
from replwire.frames import CHUNK_BYTES_MAX
from replwire.limits import LIMITS

UNCOMMITTED_BYTES_MAX: Final = 512 * 1024 * 1024
"""Bytes of chunks that wait for their commit; an agent that is not hostile refuses requests far below."""


STATE_BYTES: Final = LIMITS["state_bytes_max"].default
"""What the bound above is made for; a session whose policy lets it have more gets so much more."""


class Chunks:
    """Of one generation of one session."""

    def __init__(self, more_bytes: int = 0) -> None:
        """`more_bytes`: by how much a state may be larger than `STATE_BYTES`."""
        self._more_bytes = max(0, more_bytes)
        self._fresh: dict[bytes, bytes] = {}
        self._kept: dict[bytes, bytes] = {}
        self._bytes = 0

    def take(self, content_id: bytes, data: bytes) -> None:
        """One that a coming outcome refers to. Raises `ProtocolBreach` when it is not what it says, or too much."""
        if len(data) > CHUNK_BYTES_MAX or digest(data) != content_id:
            raise ProtocolBreach("a chunk is too large, or does not have the content that its id says")
        if content_id in self._fresh or content_id in self._kept:
            return
        self._fresh[content_id] = data
        self._bytes += len(data)
        if self._bytes > UNCOMMITTED_BYTES_MAX + self._more_bytes:
            raise ProtocolBreach("more chunks than a checkpoint may have")

    def keep(self) -> None:
        """Their outcome has come."""
        if self._fresh:
            self._kept |= self._fresh
            self._fresh.clear()

    def __contains__(self, content_id: bytes) -> bool:
        return content_id in self._kept

    def of(self, references: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the references that are here: the store may lack them."""
        kept = self._kept
        return {item: kept[item] for item in references if item in kept} if kept else {}

    def forget_all_but(self, needed: Iterable[bytes]) -> None:
        """What no waiting outcome refers to is in the store, or nobody wants it."""
        if self._kept:
            self._kept = self.of(set(needed))
            self._bytes = sum(map(len, (*self._kept.values(), *self._fresh.values())))
