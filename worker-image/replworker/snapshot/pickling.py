"""The pickler of one attempt, and where its bytes go."""

from __future__ import annotations

from _pickle import Pickler
from collections.abc import Callable, Mapping

from replwire.hints import TYPE_CHECKING, Any, Final
from replworker.snapshot.arrays import View, do_overlap
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.functions import CodeCache
from replworker.snapshot.kinds import EXACT, choose
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.references import Reducer, is_made_by, library_places, places_of
from replworker.snapshot.seeds import Seeds

if TYPE_CHECKING:
    from replworker.snapshot.places import Key

PROTOCOL: Final = 5
BUFFER_BYTES_MIN: Final = 64 * 1024
"""Buffers (numpy, pandas) from this size on leave the stream and become chunks of their own."""


class TooLarge(Exception):
    """The state is over `state_bytes_max`."""


class Sink:
    """The pickler's file: pieces of a stream and large buffers, counted."""

    __slots__ = ("buffers", "pieces", "room")

    def __init__(self, room: int) -> None:
        self.pieces: list[bytes] = []
        self.buffers: list[Any] = []
        self.room = room

    def write(self, data: bytes) -> int:
        """Take a piece of the stream; large bytes objects come as they are, uncopied."""
        self.pieces.append(data)
        self.room -= len(data)
        if self.room < 0:
            raise TooLarge
        return len(data)

    def keep_in_band(self, buffer: Any) -> bool:
        """The pickler's `buffer_callback`: true for small buffers, which stay in the stream."""
        from replworker.snapshot.buffers import size_of  # only where there are any

        size = size_of(buffer)
        if size < BUFFER_BYTES_MIN:
            return True
        self.buffers.append(buffer)
        self.room -= size
        if self.room < 0:
            raise TooLarge
        return False


class CountingSink(Sink):
    """Counts and forgets: for probing a name."""

    __slots__ = ()

    def write(self, data: bytes) -> int:
        """Count a piece."""
        self.room -= len(data)
        if self.room < 0:
            raise TooLarge
        return len(data)

    def keep_in_band(self, buffer: Any) -> bool:
        """Count a buffer."""
        in_band = super().keep_in_band(buffer)
        self.buffers.clear()
        return in_band


class Lore:
    """What lives longer than one pickler: seeds, marshalled code, places where libraries hold objects."""

    def __init__(self, namespace: dict[str, object], seeds: Seeds) -> None:
        self.namespace = namespace
        self.seeds = seeds
        self.codes = CodeCache()
        self.named_arrays: frozenset[int] = frozenset()
        self.shared_bases: frozenset[int] = frozenset()
        """Ids of arrays that are kept whole though no name is bound to them, because several views show them."""
        self.unchanged: Mapping[Key, bytes] = {}
        """See `plain_arrays.reduce_plain`."""
        self._places: dict[int, tuple[str, str]] | None = None
        self._found: dict[int, tuple[object, tuple[str, str]]] = {}

    def attribute_of(self, subject: object) -> Any:
        """A reduction to `module.attribute`, or None. What was found stays known; for others modules are searched once
        per checkpoint."""
        found = self._found.get(id(subject))
        if found is None and (place := self._place_of(subject)) is not None:
            found = self._found[id(subject)] = subject, place  # the library keeps it alive anyway
        return None if found is None else (Rebuilder.attribute, found[1])

    def own_attribute_of(self, subject: object) -> Any:
        """The same, only where the library's code makes it: what a tenant put there is not there after a restore."""
        if id(subject) in self._found or self._place_of(subject) is None:
            return self.attribute_of(subject)
        place = next((place for place in places_of(subject) if is_made_by(*place)), None)
        if place is None:
            return None
        self._found[id(subject)] = subject, place
        return Rebuilder.attribute, place

    def _place_of(self, subject: object) -> tuple[str, str] | None:
        if self._places is None:
            self._places = library_places()
        return self._places.get(id(subject))

    def forget_places(self) -> None:
        """A checkpoint begins or is complete: what modules hold may change now."""
        self._places = None

    def bases(self) -> set[int]:
        """Ids of the arrays that are kept whole, so that views of them can stay views."""
        return {*self.shared_bases, *self.named_arrays}

    def learn_bases(self, pickler: NamespacePickler) -> bool:
        """Whether this attempt has torn views from what they share: the next one will not."""
        torn = [base for base, views in pickler.left_views.items() if base in pickler.arrays or do_overlap(views)]
        self.shared_bases = (self.shared_bases & pickler.used_bases).union(torn)
        return bool(torn)


class NamespacePickler(Pickler):
    """Protocol 5, memo seeded, with our reducers. One object serves one attempt; its memo spans several dumps."""

    def __init__(self, sink: Sink, lore: Lore) -> None:
        super().__init__(sink, PROTOCOL, buffer_callback=sink.keep_in_band)
        self.memo = lore.seeds.memo()
        self.namespace = lore.namespace
        self.codes = lore.codes
        self.attribute_of: Callable[[object], Any] = lore.attribute_of
        self.own_attribute_of: Callable[[object], Any] = lore.own_attribute_of
        self.arrays = lore.bases()
        self.unchanged = lore.unchanged
        self.left_views: dict[int, list[View]] = {}
        self.used_bases: set[int] = set()
        self.announced: set[int] = set()
        self.filenames: set[str] = set()
        self.roots: set[str] = set()
        self._reducers: dict[type, Reducer | None] = EXACT.copy()

    def reducer_override(self, subject: Any) -> Any:
        """Called by the C pickler for whatever is no plain data."""
        kind = type(subject)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = choose(kind)
        return NotImplemented if reducer is None else reducer(self, subject)


__all__ = ["BUFFER_BYTES_MIN", "CountingSink", "Lore", "NamespacePickler", "Sink", "TooLarge", "Unsaveable"]
