"""Takes checkpoints of one namespace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from replwire.hints import TYPE_CHECKING, Any, Final
from replworker.snapshot.ambient import Ambient
from replworker.snapshot.blobs import Blob, Cutter, SendChunk, digest_function
from replworker.snapshot.contract import Checkpoint, SnapshotLimits, bounded
from replworker.snapshot.files import Files
from replworker.snapshot.manifest import Manifest, encode
from replworker.snapshot.modules import Modules, Sources
from replworker.snapshot.moment import ForkMoment
from replworker.snapshot.names import Dumped, Lesson, Names, is_array
from replworker.snapshot.pickling import Lore
from replworker.snapshot.seeds import Seeds

if TYPE_CHECKING:
    from replworker.snapshot.buffers import Placed
    from replworker.snapshot.places import Key, Region
    from replworker.snapshot.tracking import Tracker

_PART_INLINE_BYTES_MAX: Final = 4096
"""In a state that has chunks, parts up to this size stay in the manifest all the same."""
_WEIGHTS: Final[dict[type, int]] = {str: 1, bytes: 1, bytearray: 1, list: 16, tuple: 16, set: 16, dict: 16}
"""Rough sizes in bytes of an item, for `wants_fork`."""


def _nothing() -> None:
    pass


class Snapshotter:
    """Checkpoints of one namespace, each with only what is new since the one before.

    Make it (or call `restore`) before the first eval: what the process is like then is what later changes are
    measured against. `work_folder` is the tenant's folder or None; `injected` are objects the interpreter put into the
    namespace (name to object), kept by name and restored from the reader's mapping.

    A tenant's object that loops in its `__reduce__` is for the caller to interrupt (KeyboardInterrupt, more than once
    if need be): each interrupt costs the name that was being looked at, or one more round. One that comes while bytes
    are hashed or files are read ends `take`; the next one starts from the same known chunks.
    """

    def __init__(
        self,
        namespace: dict[str, object],
        *,
        work_folder: str | None,
        limits: SnapshotLimits,
        injected: Mapping[str, object] | None = None,
        moment: ForkMoment | None = None,
    ) -> None:
        self._namespace = namespace
        self._moment = moment
        self._tracker: Tracker | None = None
        self.placed: tuple[Placed, ...] = ()
        """Of the last `take`: large buffers, for the tracker."""
        self._limits = limits
        seeds = Seeds(namespace, injected or {})
        self._seeds = seeds.count, seeds.names
        self._names = Names(Lore(namespace, seeds), limits)
        self._ambient = Ambient(work_folder)
        self._files = Files(work_folder, limits)
        self._modules = Modules()
        self._sources = Sources()
        self._known: frozenset[bytes] = frozenset()
        self._namespace_bytes = 0
        self.is_folder_empty = False
        """In the moment of the fork, as `prepare_fork` found it: its child need not look, and nobody wait for that."""

    def take(
        self, sources: Mapping[str, str], send: SendChunk | None = None, folder_read: Callable[[], None] = _nothing
    ) -> Checkpoint:
        """A checkpoint now, in place. `sources`: file name to text of evals; those that live code uses come along.

        `send` gets each new chunk as soon as it is cut, and the checkpoint has none: a large state is never in memory
        twice. `folder_read` is called when the working folder may change again: it comes first, because a forked child
        has the memory to itself and shares the folder.
        """
        self.placed = ()
        files = self._files.pack()
        cutter = Cutter(self._known, self._limits.chunk_bytes, send) if files.large else None
        failed = dict(files.unsaved)
        large = self._files.large_blobs(files, cutter, failed) if cutter is not None else []
        folder_read()
        regions = self._tracker.regions() if self._tracker is not None else {}
        unchanged = {key: region.edges for key, region in regions.items() if region.is_inside_same and region.edges}
        dumped = self._names.dump(large=self._namespace_bytes > self._limits.inline_bytes_max, unchanged=unchanged)
        small = self._ambient.section(), files.small, self._sources.section(dumped.filenames, sources)
        parts = (*small, self._modules.section(dumped.roots))
        self._namespace_bytes = sum(sum(map(len, section)) for section in dumped.sections)
        self._namespace_bytes += _total(dumped.buffers)
        size = self._namespace_bytes + sum(map(len, parts)) + files.size - len(files.small)
        unsaved = bounded({**dumped.unsaved, **failed}, self._limits.unsaved_max)
        if size <= self._limits.inline_bytes_max and cutter is None:
            return self._inline(dumped, parts, size, unsaved)
        cutter = cutter or Cutter(self._known, self._limits.chunk_bytes, send)
        return self._chunked(dumped, large, parts, size, unsaved, cutter, regions)

    def wants_fork(self) -> bool:
        """Whether `take` is better called in a forked child: the names were large, or a look at them says so now."""
        limit = self._limits.fork_above_bytes
        return self._namespace_bytes > limit or _apparent_bytes(self._namespace) > limit

    def prepare_fork(self) -> Tracker:
        """Load what each child would have to load again. The tracker wants to hear that the fork is done."""
        tracker_class = _load_for_fork()
        self._ambient.note_generator()
        self.is_folder_empty = self._files.is_empty()
        if self._tracker is None:
            self._tracker = tracker_class(self._moment or ForkMoment(), self._limits.chunk_bytes)
        self._tracker.prepare()
        return self._tracker

    def expect(self, chunks: int) -> None:
        """A state of so many chunks is going to be restored: what its next checkpoint needs is loaded before."""
        if chunks * self._limits.chunk_bytes > self._limits.fork_above_bytes:
            _load_for_fork()

    def forked(self) -> None:
        """This process is a fork: what a fork changes by itself is undone."""
        self._ambient.undo_reseed()
        if self.is_folder_empty:
            self.is_folder_empty = False
            self._files.pack_nothing()

    def is_folder_as_kept(self) -> bool:
        """Whether the working folder is what the last `take` of this process, or of the one that it was forked from,
        has of it."""
        return self._files.are_as_packed()

    def restored(self, references: Iterable[bytes]) -> None:
        """The store has these chunks: they came with the state that this process has restored."""
        self._known = frozenset(references)
        self._namespace_bytes = self._without_files(len(self._known) * self._limits.chunk_bytes)

    def lesson(self) -> tuple[Any, ...]:
        """What the last `take` found out, for `handed_over` of the process that this one was forked from.

        Plain data (marshal).
        """
        return tuple(self._names.lesson()), self._modules.looked

    def handed_over(self, references: Iterable[bytes], *, state_bytes: int, lesson: tuple[Any, ...]) -> None:
        """A forked child's checkpoint was handed over; its lesson spares this process from finding it out again."""
        self._known = frozenset(references)
        self._namespace_bytes = self._without_files(state_bytes)
        names, self._modules.looked = lesson
        self._names.learn(Lesson(*names))

    def _without_files(self, size: int) -> int:
        return size - self._files.total_bytes() if size > self._limits.inline_bytes_max else size

    def _inline(self, dumped: Dumped, parts: tuple[bytes, ...], size: int, unsaved: dict[str, str]) -> Checkpoint:
        sections = tuple(b"".join(section) for section in dumped.sections)
        buffers = tuple(bytes(buffer.raw()) for buffer in dumped.buffers)
        self._known = frozenset()
        return Checkpoint(encode(self._manifest(sections, buffers, parts, [], unsaved)), (), (), unsaved, size)

    def _chunked(
        self, dumped: Dumped, large: list[tuple[Any, ...]], parts: tuple[bytes, ...], size: int,
        unsaved: dict[str, str], cutter: Cutter, regions: Mapping[Key, Region],
    ) -> Checkpoint:  # fmt: skip
        from replworker.snapshot.buffers import cut_all

        sections = tuple(_stream(section, cutter) for section in dumped.sections)
        buffers, self.placed = cut_all(dumped.buffers, cutter, regions)
        small = tuple(_part(part, cutter) for part in parts)
        references = tuple(cutter.references)
        self._known = frozenset(references)
        manifest = encode(self._manifest(sections, buffers, small, large, unsaved))
        return Checkpoint(manifest, tuple(cutter.chunks.items()), references, unsaved, size)

    def _manifest(
        self,
        sections: tuple[Blob, ...],
        buffers: tuple[Blob, ...],
        parts: tuple[Blob, ...],
        large: list[tuple[Any, ...]],
        unsaved: dict[str, str],
    ) -> Manifest:
        ambient, files, sources, modules = parts
        return Manifest(sections, buffers, self._seeds, ambient, files, large, sources, modules, unsaved)


def _load_for_fork() -> type[Tracker]:
    """What a forked child needs beyond what a worker loads at its start; it takes some 15 ms."""
    from replworker.snapshot.tracking import Tracker

    digest_function()
    return Tracker


def _total(buffers: list[Any]) -> int:
    if not buffers:
        return 0
    from replworker.snapshot.buffers import size_of

    return sum(map(size_of, buffers))


def _stream(pieces: list[bytes], cutter: Cutter) -> Blob:
    if sum(map(len, pieces)) <= _PART_INLINE_BYTES_MAX:
        return b"".join(pieces)
    return cutter.cut_stream(pieces)


def _part(data: bytes, cutter: Cutter) -> Blob:
    return data if len(data) <= _PART_INLINE_BYTES_MAX else cutter.cut(data)


def _apparent_bytes(namespace: dict[str, object]) -> int:
    """A quick look at the values themselves, not into them."""
    total = 0
    for value in list(namespace.values()):
        weight = _WEIGHTS.get(type(value))
        if weight is not None:
            total += weight * len(value)  # type: ignore[arg-type]
    if "numpy" in sys.modules:
        total += sum(value.nbytes for value in list(namespace.values()) if is_array(value))  # type: ignore[attr-defined]
    return total
