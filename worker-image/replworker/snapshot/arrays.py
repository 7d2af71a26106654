"""Reducers for arrays of numpy that share memory, and for what pandas knows of who shares its arrays.

Neither library is imported here: a namespace that has none of their objects pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from replwire.hints import Any, Final, NamedTuple
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.references import Reduced

_VIEWABLE_KINDS: Final = "biufcmMSUV"
_VIEWS: Final = frozenset({"numpy.ndarray", "numpy.recarray", "numpy.rec.recarray"})
"""Classes of what may be a view, or the base of one."""
_SHARING_WORK_MAX: Final[Any] = 1000
"""Steps to find out whether two views that lie across each other show the same memory; beyond them, they count so."""
_VIEW_WASTE_MAX: Final = 2
"""A view brings its base along when that is at most so many times as large; else only if others need the base too."""


class View(NamedTuple):
    """A view that was kept without its base, and the bytes of the base that it lies in."""

    start: int
    end: int
    array: Any


def reduce_array(pickler: Any, array: Any) -> Any:
    """A numpy array; a view stays a view of its base, unless that would keep much more than the view."""
    pickler.arrays.add(id(array))
    base = _owner(array)
    if base is None:
        from replworker.snapshot.plain_arrays import reduce_plain

        return reduce_plain(array, pickler.unchanged) or NotImplemented
    if not array.size or not (base.flags.c_contiguous or base.flags.f_contiguous):
        return NotImplemented
    reduced = _view_of(base, array)
    if reduced is None:
        return NotImplemented
    if id(base) in pickler.arrays:
        pickler.used_bases.add(id(base))
    elif base.nbytes > _VIEW_WASTE_MAX * array.nbytes:
        pickler.left_views.setdefault(id(base), []).append(_place_of(array))
        return NotImplemented
    return reduced


def _place_of(array: Any) -> View:
    """Where it lies in memory."""
    start = end = array.__array_interface__["data"][0]
    for count, stride in zip(array.shape, array.strides, strict=True):
        start, end = start + min(0, (count - 1) * stride), end + max(0, (count - 1) * stride)
    return View(start, end + array.itemsize, array)


def do_overlap(views: list[View]) -> bool:
    """Whether two of these show the same memory."""
    widest, *rest = sorted(views, key=lambda view: view[:2])
    for view in rest:
        if view.start < widest.end and _share(widest.array, view.array):
            return True
        widest = max(widest, view, key=lambda either: either.end)
    return False


def _share(one: Any, other: Any) -> bool:
    import numpy

    try:
        return bool(numpy.shares_memory(one, other, max_work=_SHARING_WORK_MAX))
    except RuntimeError:  # too hard to tell
        return True


def reduce_records(pickler: Any, array: Any) -> Any:
    """A `numpy.recarray`: as an array, with its class."""
    reduced = reduce_array(pickler, array)
    if reduced is NotImplemented or reduced[0] is not Rebuilder.array_view:
        return NotImplemented
    return Rebuilder.record_view, reduced[1]


def _owner(array: Any) -> Any:
    """The array whose memory this one shows, or None."""
    base = array.base
    while _has_own_reducer(base) and _has_own_reducer(base.base):
        base = base.base
    return base if _has_own_reducer(base) else None


def _has_own_reducer(array: Any) -> bool:
    kind = type(array)
    return f"{kind.__module__}.{kind.__qualname__}" in _VIEWS


def _view_of(base: Any, array: Any) -> Reduced | None:
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    writable = bool(array.flags.writeable)
    if array.dtype.hasobject or base.dtype.hasobject:
        return _object_view_of(base, array, offset, writable)
    if array.dtype.kind not in _VIEWABLE_KINDS or base.dtype.kind not in _VIEWABLE_KINDS:
        return None
    return Rebuilder.array_view, (base, array.shape, array.dtype, offset, array.strides, writable)


def _object_view_of(base: Any, array: Any, offset: int, writable: bool) -> Reduced | None:
    """Of Python objects: only what slices and a new shape can make, since no other way keeps their counts right."""
    size = array.dtype.itemsize
    if array.dtype != base.dtype or offset % size:
        return None
    if array.flags.c_contiguous:
        return Rebuilder.object_view, (base, offset // size, 1, array.shape, writable)
    if array.ndim == 1 and array.strides[0] % size == 0 and array.strides[0]:
        return Rebuilder.object_view, (base, offset // size, array.strides[0] // size, array.shape, writable)
    return None


def reduce_mapped_array(pickler: Any, array: Any) -> Any:
    """`numpy.memmap`: a copy would no longer write to its file."""
    if getattr(array, "_mmap", None) is None:
        return NotImplemented
    raise Unsaveable(array, "mapped memory")


def reduce_sharing(pickler: Any, holder: Any) -> Any:
    """A block or index of pandas that shares its values with others, which copy before they write."""
    refs = holder.refs if hasattr(holder, "refs") else getattr(holder, "__dict__", {}).get("_references")
    reduced = holder.__reduce__()
    if not _is_shared(refs) or any(reduced[2:]):
        return reduced
    return (*reduced[:2], refs, None, None, Rebuilder.set_sharing)


def _is_shared(refs: Any) -> bool:
    """Whether others have the same values; versions before 2.0 have nothing of the kind."""
    return hasattr(refs, "has_reference") and bool(refs.has_reference())


def reduce_series(pickler: Any, manager: Any) -> Any:
    """What is inside a series, whose own pickle forgets who shares its values."""
    block = manager.blocks[0]
    is_shared = _is_shared(getattr(block, "refs", None))
    return (type(manager), (block, manager.axes[0])) if is_shared else NotImplemented


def reduce_sharers(pickler: Any, refs: Any) -> Reduced:
    """Who shares: each of them enters itself when it is read."""
    return type(refs), ()


ARRAYS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "numpy.ndarray": reduce_array,
    "numpy.recarray": reduce_records,
    "numpy.rec.recarray": reduce_records,
    "numpy.memmap": reduce_mapped_array,
    "pandas._libs.internals.BlockValuesRefs": reduce_sharers,
    "pandas.core.internals.managers.SingleBlockManager": reduce_series,
}
"""By `module.qualname` of the exact class."""

SHARING: Final = frozenset({"pandas._libs.internals.Block", "pandas.Index", "pandas.core.indexes.base.Index"})
"""Classes whose instances, of subclasses too, may share values."""
