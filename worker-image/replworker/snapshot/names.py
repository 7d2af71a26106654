"""Which names go into a checkpoint: all in one dump; when that fails, each is probed alone, then the survivors go.

A name is dropped when it reaches what can't be kept; no placeholder takes its place. Names known to be bad are left
out of the first dump and probed apart, unless they are bound to the very object that was refused as such.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping

from replwire.hints import TYPE_CHECKING, Any, Final, NamedTuple
from replworker.snapshot.contract import HOUSEKEEPING, SnapshotLimits, Unsaveable, described, label
from replworker.snapshot.pickling import CountingSink, Lore, NamespacePickler, Sink, TooLarge

if TYPE_CHECKING:
    from replworker.snapshot.places import Key

_SCALARS: Final = frozenset({int, float, bool, type(None), complex})
_TEXTS: Final = frozenset({str, bytes})
_TEXT_LENGTH_MAX: Final = 16 * 1024
_LARGE_RETRY_TAKES: Final = 20
"""A name that was too large is tried again after so many checkpoints: each try costs as much as a checkpoint."""

Section = list[bytes]


class Dumped(NamedTuple):
    """The pickled namespace: streams that share one memo, buffers, and the file names and packages it refers to."""

    sections: list[Section]
    buffers: list[Any]
    filenames: set[str]
    roots: set[str]
    unsaved: dict[str, str]


class _Bad(NamedTuple):
    """Why a name was dropped, and at which checkpoint its object is to be tried again.

    An object that died may have left its id to another one, so the type has to be the same as well.
    """

    subject_id: int
    kind_id: int
    reason: str
    retry_at: float = 0

    def is_about(self, value: object) -> bool:
        """Whether this was said of `value`."""
        return self.subject_id == id(value) and self.kind_id == id(type(value))


class Lesson(NamedTuple):
    """What a checkpoint found out about the names. Ids hold in the process that was forked for it and in its parent;
    all of it can be marshalled."""

    is_deep: bool
    bases: tuple[int, ...]
    bad: tuple[tuple[str, tuple[int, int, str, float]], ...]


class Names:
    """The names of one namespace and what is known about them from checkpoint to checkpoint."""

    def __init__(self, lore: Lore, limits: SnapshotLimits) -> None:
        self._lore = lore
        self._limits = limits
        self._bad: dict[object, _Bad] = {}
        self._deep = False
        self._takes = 0

    def dump(self, *, large: bool, unchanged: Mapping[Key, bytes] | None = None) -> Dumped:
        """Pickle what can be pickled. `large`: containers first, then small values in a section of their own.

        `unchanged`: see `plain_arrays.reduce_plain`.
        """
        self._lore.unchanged = unchanged or {}
        names = self._state()
        self._lore.named_arrays = _arrays(names.values())
        self._takes += 1
        self._lore.forget_places()
        self._set_aside(names)
        try:
            dumped = self._attempt(names, large)
        except BaseException as error:  # whatever a tenant's object raises, and an interrupt of one that loops
            dumped = self._survivors(names, large, error)
        self._lore.codes.turn()
        self._lore.forget_places()
        return dumped._replace(unsaved={label(name): bad.reason for name, bad in self._bad.items()})

    def lesson(self) -> Lesson:
        """Of the last `dump`."""
        bad = tuple((name, why[:]) for name, why in self._bad.items() if type(name) is str)
        return Lesson(self._deep, tuple(self._lore.shared_bases), bad)

    def learn(self, lesson: Lesson) -> None:
        """A forked child has taken a checkpoint: what it found out need not be found out again."""
        self._takes += 1
        self._deep = lesson.is_deep
        self._lore.shared_bases = frozenset(lesson.bases)
        self._bad.update((name, _Bad(*why)) for name, why in lesson.bad)

    def _state(self) -> dict[Any, Any]:
        names = self._lore.namespace.copy()
        for name in HOUSEKEEPING:
            found = names.pop(name, None)
            if type(found) is str and (name, found) != ("__name__", "__main__"):
                names[name] = found
        if names.get("__doc__", names) is None:
            del names["__doc__"]
        return names

    def _set_aside(self, names: dict[Any, Any]) -> None:
        """Take known bad names out; those that got better since go back to the end of the line."""
        if not self._bad:
            return
        known, self._bad = self._bad, {}
        better = {}
        for name, bad in known.items():
            if name not in names:
                continue
            value = names.pop(name)
            if bad.retry_at > self._takes and bad.is_about(value):
                self._bad[name] = bad
            elif self._probe(name, value) is not None:
                better[name] = value
        names.update(better)

    def _attempt(self, names: dict[Any, Any], large: bool) -> Dumped:
        """One dump, or a second one in which views of arrays stay with a base that was met only after them."""
        dumped, pickler = self._dumped(names, large)
        return self._dumped(names, large)[0] if self._lore.learn_bases(pickler) else dumped

    def _dumped(self, names: dict[Any, Any], large: bool) -> tuple[Dumped, NamespacePickler]:
        sink = Sink(self._limits.state_bytes_max)
        pickler = NamespacePickler(sink, self._lore)
        sections: list[Section] = []
        for part in _in_order(names) if large else (names,):
            self._dump(pickler, part)
            sections.append(sink.pieces)
            sink.pieces = []
        return Dumped(sections, sink.buffers, pickler.filenames, pickler.roots, {}), pickler

    def _dump(self, pickler: NamespacePickler, part: object) -> None:
        limit = sys.getrecursionlimit()
        wanted = self._limits.depth_max if self._deep else min(limit, self._limits.depth_max)
        if wanted == limit:
            pickler.dump(part)
            return
        sys.setrecursionlimit(wanted)
        try:
            pickler.dump(part)
        finally:
            sys.setrecursionlimit(limit)

    def _survivors(self, names: dict[Any, Any], large: bool, error: BaseException) -> Dumped:
        """Probe each name alone and dump those that pass; a name that only fails among others costs one more round."""
        if isinstance(error, RecursionError):
            self._deep = True
        for _ in range(3):
            sizes = {name: self._probe(name, value) for name, value in list(names.items())}
            kept = {name: size for name, size in sizes.items() if size is not None}
            self._drop_largest(names, kept)
            names = {name: value for name, value in names.items() if name in kept}
            try:
                return self._attempt(names, large)
            except BaseException as again:  # as in `dump`
                error = again
        self._bad.update({name: _bad(value, described(error)) for name, value in names.items()})
        return self._attempt({}, large)

    def _probe(self, name: object, value: object) -> int | None:
        """Size of a name pickled alone, or None: then `_bad` says why."""
        sink = CountingSink(self._limits.state_bytes_max)
        try:
            self._dump(NamespacePickler(sink, self._lore), (name, value))
        except RecursionError as error:
            if not self._deep:
                self._deep = True
                return self._probe(name, value)
            self._bad[name] = _bad(value, described(error))
        except BaseException as error:  # as in `dump`
            self._bad[name] = _judgement(value, error, self._takes)
        else:
            return self._limits.state_bytes_max - sink.room
        return None

    def _drop_largest(self, names: dict[Any, Any], sizes: dict[Any, int]) -> None:
        excess = sum(sizes.values()) - self._limits.state_bytes_max
        for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if excess <= 0:
                return
            excess -= sizes.pop(name)
            reason = f"the state would be over {self._limits.state_bytes_max} bytes"
            self._bad[name] = _bad(names[name], reason, self._takes + _LARGE_RETRY_TAKES)


def _bad(value: object, reason: str, retry_at: float = 0) -> _Bad:
    return _Bad(id(value), id(type(value)), reason, retry_at)


def _judgement(value: object, error: BaseException, takes: int) -> _Bad:
    if isinstance(error, Unsaveable):
        if error.subject is value:
            return _bad(value, error.reason, math.inf)
        return _bad(value, f"reaches {error.reason}")
    if isinstance(error, TooLarge):
        return _bad(value, "larger than a state may be", takes + _LARGE_RETRY_TAKES)
    if isinstance(error, KeyboardInterrupt):
        return _bad(value, "took too long to save", math.inf)
    return _bad(value, described(error))


def _arrays(values: Iterable[object]) -> frozenset[int]:
    """Ids of the numpy arrays that have a name of their own."""
    if "numpy" not in sys.modules:
        return frozenset()
    return frozenset(id(value) for value in values if is_array(value))


def is_array(value: object) -> bool:
    """Whether this is a numpy array; nothing is imported to find out."""
    kind = type(value)
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy"


def _in_order(names: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[dict[Any, Any], tuple[Any, ...]]]:
    """Containers first; then small values, which change most often, and the order in which all of them stood."""
    small = {name: value for name, value in names.items() if _is_small(value)}
    rest = {name: value for name, value in names.items() if name not in small}
    return rest, (small, tuple(names))


def _is_small(value: object) -> bool:
    kind = type(value)
    return kind in _SCALARS or (kind in _TEXTS and len(value) <= _TEXT_LENGTH_MAX)  # type: ignore[arg-type]
