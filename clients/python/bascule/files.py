"""The session's working folder, from outside. Paths are relative to it."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from bascule.answers import FileInfo, answer_of
from bascule.errors import NotFoundError

Json = dict[str, Any]
Ask = Callable[[str, Json], Awaitable[Json]]
"""Type and payload of a request in, its answer out."""


class AsyncFiles:
    """Of an `AsyncSession`. Writes and deletes are committed like evals, and as them done once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def read(self, path: str) -> bytes:
        """The file's content, up to `file_bytes_max`. Raises `NotFoundError`."""
        return base64.b64decode((await self._do("read", path))["data"])

    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The file's content as text."""
        return (await self.read(path)).decode(encoding)

    async def write(self, path: str, data: bytes | str) -> None:
        """Make or replace a file, and the folders above it; text is written in UTF-8."""
        raw = data.encode("utf-8") if isinstance(data, str) else data
        await self._do("write", path, data=base64.b64encode(raw).decode("ascii"))

    async def delete(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it."""
        await self._do("delete", path)

    async def list(self, path: str = ".") -> list[FileInfo]:
        """What is in a folder, by name."""
        return [answer_of(FileInfo, entry) for entry in (await self._do("list", path))["entries"]]

    async def stat(self, path: str) -> FileInfo:
        """Kind, size and time of one file or folder."""
        return answer_of(FileInfo, {"name": path.rpartition("/")[2], **await self._do("stat", path)})

    async def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        try:
            await self.stat(path)
        except NotFoundError:
            return False
        return True

    async def _do(self, op: str, path: str, **more: str) -> Json:
        return await self._ask("files", {"op": op, "path": path, **more})
