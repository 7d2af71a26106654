"""`sandbox.files`, under the names that programs written for E2B use."""

from __future__ import annotations

from typing import Literal, overload

from bascule.answers import FileInfo
from bascule.files import AsyncFiles
from bascule.session import Files

Format = Literal["text", "bytes"]


class SandboxFiles:
    """`sandbox.files`."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @overload
    def read(self, path: str, format: Literal["text"] = "text") -> str: ...
    @overload
    def read(self, path: str, format: Literal["bytes"]) -> bytearray: ...
    def read(self, path: str, format: Format = "text") -> str | bytearray:
        """The file's content."""
        return self._files.read_text(path) if format == "text" else bytearray(self._files.read(path))

    def write(self, path: str, data: str | bytes) -> FileInfo:
        """Make or replace a file."""
        self._files.write(path, data)
        return self._files.stat(path)

    def list(self, path: str = ".") -> list[FileInfo]:
        """What is in a folder."""
        return self._files.list(path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return self._files.exists(path)

    def remove(self, path: str) -> None:
        """Delete a file or a folder."""
        self._files.delete(path)


class AsyncSandboxFiles:
    """`sandbox.files` of an `AsyncSandbox`."""

    def __init__(self, files: AsyncFiles) -> None:
        self._files = files

    @overload
    async def read(self, path: str, format: Literal["text"] = "text") -> str: ...
    @overload
    async def read(self, path: str, format: Literal["bytes"]) -> bytearray: ...
    async def read(self, path: str, format: Format = "text") -> str | bytearray:
        """The file's content."""
        return await self._files.read_text(path) if format == "text" else bytearray(await self._files.read(path))

    async def write(self, path: str, data: str | bytes) -> FileInfo:
        """Make or replace a file."""
        await self._files.write(path, data)
        return await self._files.stat(path)

    async def list(self, path: str = ".") -> list[FileInfo]:
        """What is in a folder."""
        return await self._files.list(path)

    async def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return await self._files.exists(path)

    async def remove(self, path: str) -> None:
        """Delete a file or a folder."""
        await self._files.delete(path)
