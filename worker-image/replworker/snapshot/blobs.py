"""Content-addressed parts: data is cut into blocks named by their SHA-256; known blocks are not sent again."""

from __future__ import annotations

from _io import BufferedReader
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import RawIOBase

from replwire.hints import TYPE_CHECKING, Any, Final
from replworker.snapshot.contract import RestoreError

if TYPE_CHECKING:
    from replworker.snapshot.places import Region

RUN_BREAK_BYTES: Final = 128 * 1024
"""A piece of a stream from this size on (a large string or bytes object) starts blocks of its own, so that what is
before it can change its length without moving it."""

_READ_BYTES: Final = 128 * 1024
"""What the unpickler asks for at once."""

Blob = bytes | tuple[bytes, ...]
"""Inline bytes, or the content ids of the blocks."""


def digest_function() -> Callable[[Any], Any]:
    """SHA-256: OpenSSL's, which uses the processor's instructions; else Python's own. Imported when first needed."""
    try:
        from _hashlib import openssl_sha256
    except ImportError:
        from hashlib import sha256

        return sha256
    return openssl_sha256


SendChunk = Callable[[bytes, bytes], None]
"""Takes a content id and its bytes."""


class Cutter:
    """Cuts the parts of one checkpoint; collects references, and the blocks that are new unless `send` takes them."""

    def __init__(self, known: frozenset[bytes], chunk_bytes: int, send: SendChunk | None = None) -> None:
        self._send = send
        self._known = known
        self._chunk_bytes = chunk_bytes
        self._digest = digest_function()
        self.references: dict[bytes, None] = {}
        self.chunks: dict[bytes, bytes] = {}

    def cut(self, data: Any) -> tuple[bytes, ...]:
        """Content ids of a buffer's blocks."""
        view = memoryview(data).cast("B")
        step = self._chunk_bytes
        return tuple(self._block(view[start : start + step]) for start in range(0, len(view), step))

    def cut_again(self, data: Any, region: Region) -> tuple[bytes, ...]:
        """The same, when something is known of it: a block that did not change is neither hashed nor sent."""
        view = memoryview(data).cast("B")
        step = self._chunk_bytes
        known = zip(range(0, len(view), step), region.blocks, region.is_same, strict=True)
        return tuple(
            name if is_same and self.refer((name,)) else self._block(view[start : start + step])
            for start, name, is_same in known
        )

    def cut_stream(self, pieces: Iterable[bytes]) -> tuple[bytes, ...]:
        """Content ids of a stream that came in pieces."""
        blocks: list[bytes] = []
        run = bytearray()
        for piece in pieces:
            if len(piece) >= RUN_BREAK_BYTES:
                blocks += self.cut(bytes(run))
                blocks += self.cut(piece)
                run.clear()
                continue
            run += piece
            if len(run) >= self._chunk_bytes:
                blocks += self.cut(bytes(run[: self._chunk_bytes]))
                del run[: self._chunk_bytes]
        return (*blocks, *self.cut(bytes(run)))

    def refer(self, blocks: Iterable[bytes]) -> bool:
        """Refer to blocks without having their bytes; false, and nothing is noted, unless all of them are known."""
        blocks = tuple(blocks)
        if not all(block in self._known or block in self.references for block in blocks):
            return False
        self.references.update(dict.fromkeys(blocks))
        return True

    def _block(self, view: memoryview) -> bytes:
        name: bytes = self._digest(view).digest()
        if name not in self.references:
            self.references[name] = None
            if name not in self._known:
                self._keep(name, bytes(view))
        return name

    def _keep(self, name: bytes, block: bytes) -> None:
        if self._send is None:
            self.chunks[name] = block
        else:
            self._send(name, block)


def joined(blob: Blob, chunks: Mapping[bytes, bytes]) -> bytes:
    """The bytes of a blob. Raises `RestoreError` when a chunk is not there."""
    return b"".join(pieces(blob, chunks))


def joined_writable(blob: Blob, chunks: Mapping[bytes, bytes]) -> bytearray:
    """The same in memory that may be written to: an array may live in it."""
    blocks = pieces(blob, chunks)
    made = bytearray(sum(map(len, blocks)))
    position = 0
    for block in blocks:
        made[position : position + len(block)] = block
        position += len(block)
    return made


def pieces(blob: Blob, chunks: Mapping[bytes, bytes]) -> list[bytes]:
    """What a blob is put together from, in order. Raises `RestoreError` when a chunk is not there."""
    if isinstance(blob, bytes):
        return [blob]
    try:
        return [chunks[name] for name in blob]
    except KeyError as error:
        raise RestoreError("chunk_missing", error.args[0].hex()) from None


def opened(parts: Sequence[bytes]) -> BufferedReader:
    """The parts as one file: what is large is copied once, to where it is read into."""
    return BufferedReader(_Parts(parts), _READ_BYTES)


class _Parts(RawIOBase):
    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = iter(parts)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = memoryview(part)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
