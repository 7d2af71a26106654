"""The public twin of a blob store: a dictionary. Nothing in it survives its process."""

from __future__ import annotations

from collections.abc import AsyncIterator

from orchestrator.stores.blob_names import check_name


class MemoryBlobs:
    """An adapter of `orchestrator.ports.BlobStore` that lives in this process."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        """One that is there stays as it is."""
        check_name(name)
        self._objects.setdefault(name, bytes(data))

    async def get(self, name: str) -> bytes | None:
        """The bytes, or None."""
        check_name(name)
        return self._objects.get(name)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """Names that begin so, as they are now."""
        for name in [name for name in self._objects if name.startswith(prefix)]:
            yield name

    async def delete(self, name: str) -> None:
        """Nothing to delete is success."""
        check_name(name)
        self._objects.pop(name, None)

    async def close(self) -> None:
        """Nothing is held."""
