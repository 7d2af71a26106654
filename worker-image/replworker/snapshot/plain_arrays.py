"""Large arrays of Python objects that never change: the strings of a column, numbers, None.

Their memory is pointers. While those are what they were, so is what they point to, since the array keeps it alive; so
such an array is pickled apart, and not again while its memory is unchanged (see `tracking`). Who else holds one of
these objects holds an equal one after a restore, not the same.
"""

from __future__ import annotations

from _pickle import PickleBuffer, dumps
from collections.abc import Mapping

from replwire.hints import Any, Final
from replworker.snapshot.pages import PAGE_BYTES
from replworker.snapshot.places import Key, key_of
from replworker.snapshot.rebuild import Rebuilder

ARRAY_BYTES_MIN: Final = 256 * 1024
"""Of such an array's own memory, eight bytes an object: below it little is saved."""

_PLAIN: Final = frozenset({str, bytes, int, float, bool, complex, type(None)})
_PAGE_OBJECTS: Final = PAGE_BYTES // 8
_PROTOCOL: Final = 5


class Packed(bytes):
    """The objects of an array, pickled; or nothing yet, when they may be known already: then `fill` gives them."""

    array: Any
    key: Key
    edges: bytes

    def fill(self) -> bytes:
        """All of it."""
        return self or _packed(self.array.ravel().tolist())


def reduce_plain(array: Any, unchanged: Mapping[Key, bytes]) -> Any:
    """An array of its own memory, as a buffer of its own; None for one that is small or has other objects in it.

    `unchanged`: memory that is as it was at the last checkpoint, but perhaps for what `_edges` tells apart: that of
    then. What it holds was packed then.
    """
    key = key_of(array) if array.dtype.char == "O" and array.flags.c_contiguous else None
    if key is None or key[1] < ARRAY_BYTES_MIN:
        return None
    packed, edges = Packed(), _edges(array)
    if unchanged.get(key) != edges:
        items = array.ravel().tolist()
        if not _PLAIN.issuperset(map(type, items)):
            return None
        packed = Packed(_packed(items))
    packed.array, packed.key, packed.edges = array, key, edges
    return Rebuilder.plain_array, (array.shape, PickleBuffer(packed))


def _edges(array: Any) -> bytes:
    """The objects that may lie in the first and in the last page, which belong to others too."""
    flat = array.ravel()
    items = [*flat[:_PAGE_OBJECTS].tolist(), *flat[-_PAGE_OBJECTS:].tolist()]
    return _packed(items) if _PLAIN.issuperset(map(type, items)) else b""


def _packed(items: list[Any]) -> bytes:
    return dumps(items, _PROTOCOL)
