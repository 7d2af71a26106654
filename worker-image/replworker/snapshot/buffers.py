"""Large buffers that a pickle left out of band: how large they are, where they lie, and their blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from replwire.hints import Any, NamedTuple
from replworker.snapshot.blobs import Cutter
from replworker.snapshot.places import Key, Region, key_behind
from replworker.snapshot.plain_arrays import Packed

Placed = tuple[Key, tuple[bytes, ...], bytes]
"""An array's memory, the content ids that it was cut into, and for an array of objects what tells its ends apart."""


class Blocks(NamedTuple):
    """The blocks of each buffer, and those of them whose memory can be asked after."""

    blobs: tuple[tuple[bytes, ...], ...]
    placed: tuple[Placed, ...]


def cut_all(buffers: Iterable[Any], cutter: Cutter, regions: Mapping[Key, Region]) -> Blocks:
    """What is known to be unchanged is neither hashed nor sent."""
    blobs = []
    placed: list[Placed] = []
    for buffer in buffers:
        key = _key_of(buffer)
        blocks = _cut(buffer, cutter, regions.get(key) if key is not None else None)
        blobs.append(blocks)
        if key is not None:
            placed.append((key, blocks, _edges_of(buffer)))
    return Blocks(tuple(blobs), tuple(placed))


def _cut(buffer: Any, cutter: Cutter, region: Region | None) -> tuple[bytes, ...]:
    packed = exporter_of(buffer)
    if type(packed) is Packed:
        if not packed and region is not None and cutter.refer(region.blocks):
            return region.blocks
        return cutter.cut(packed.fill())
    return cutter.cut(buffer.raw()) if region is None else cutter.cut_again(buffer.raw(), region)


def exporter_of(buffer: Any) -> Any:
    """The object whose memory it is."""
    with memoryview(buffer) as view:
        return view.obj


def size_of(buffer: Any) -> int:
    """In bytes; of one that was left empty because it is known, about."""
    exporter = exporter_of(buffer)
    if type(exporter) is Packed and not exporter:
        return exporter.key[1]
    with buffer.raw() as view:
        size: int = view.nbytes
    return size


def _key_of(buffer: Any) -> Key | None:
    """The array's memory; None for anything else."""
    exporter = exporter_of(buffer)
    return exporter.key if type(exporter) is Packed else key_behind(exporter)


def _edges_of(buffer: Any) -> bytes:
    exporter = exporter_of(buffer)
    return exporter.edges if type(exporter) is Packed else b""
