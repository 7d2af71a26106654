"""The manifest: what a checkpoint consists of and where its parts are.

A fixed head (magic, format, Python, bytecode) and a marshalled tuple. It is opened only by an interpreter of the same
Python inside a sandbox: marshalled code of another one would crash it, so the head is checked first.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from collections.abc import Mapping

from replwire.hints import Any, Final, NamedTuple
from replworker.snapshot.blobs import Blob
from replworker.snapshot.contract import RestoreError

MAGIC: Final = b"BSCK"
FORMAT: Final = 1
_BYTECODE: Final = bytes(MAGIC_NUMBER[:2])
HEAD: Final = MAGIC + bytes((FORMAT, sys.version_info[0], sys.version_info[1])) + _BYTECODE


class Manifest(NamedTuple):
    """The parts of a checkpoint. Each blob is inline bytes or content ids."""

    sections: tuple[Blob, ...]
    """Pickle streams that share one memo; of two, the second also holds the order of the names."""
    buffers: tuple[Blob, ...]
    """Out-of-band buffers in the order of the streams."""
    seeds: tuple[int, tuple[str, ...]]
    """How many fixed seeds the writer had, and the names of the injected objects."""
    ambient: Blob
    files: Blob
    large_files: list[tuple[Any, ...]]
    sources: Blob
    modules: Blob
    unsaved: dict[str, str]


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest."""
    return HEAD + marshal.dumps(tuple(manifest))


def decode(data: bytes) -> Manifest:
    """A manifest from its bytes. Raises `RestoreError` when the head is not ours or the rest is damaged."""
    _check(data[: len(HEAD)])
    try:
        return Manifest(*marshal.loads(memoryview(data)[len(HEAD) :]))
    except (ValueError, TypeError, EOFError) as error:
        raise RestoreError("corrupt", f"the manifest can't be read: {error}") from None


def _check(head: bytes) -> None:
    if len(head) < len(HEAD) or head[:4] != MAGIC:
        raise RestoreError("corrupt", "this is no checkpoint")
    if head[4] != FORMAT:
        raise RestoreError("format", f"the checkpoint has format {head[4]}, this worker reads {FORMAT}")
    if head[5:7] != HEAD[5:7]:
        raise RestoreError("python_version", f"made by Python {head[5]}.{head[6]}, this is {HEAD[5]}.{HEAD[6]}")
    if head[7:9] != _BYTECODE:
        raise RestoreError("python_version", "made by a Python with another bytecode")


def references(manifest: Manifest) -> tuple[bytes, ...]:
    """Every content id that the manifest refers to, once each, in order."""
    blobs: list[Any] = [*manifest.sections, *manifest.buffers, *(entry[-1] for entry in manifest.large_files)]
    blobs += [manifest.ambient, manifest.files, manifest.sources, manifest.modules]
    return tuple(dict.fromkeys(name for blob in blobs if isinstance(blob, tuple) for name in blob))


def check_chunks(manifest: Manifest, chunks: Mapping[bytes, bytes]) -> None:
    """Raise `RestoreError` unless every chunk is there."""
    missing = [name for name in references(manifest) if name not in chunks]
    if missing:
        raise RestoreError("chunk_missing", f"{len(missing)} chunks, the first is {missing[0].hex()}")
