"""Opens a checkpoint: files, working folder, `sys.path`, imports, then the namespace."""

from __future__ import annotations

import gc
import io
import marshal
import sys
from _pickle import Unpickler
from collections.abc import Callable, Mapping

from replwire.hints import Any, Final
from replworker.snapshot.ambient import (
    baseline,
    reseed_generators,
    restore_ambient,
    restore_decimal,
    restore_generators,
)  # fmt: skip
from replworker.snapshot.blobs import joined, joined_writable, opened, pieces
from replworker.snapshot.contract import RestoreError, RestoreReport, SnapshotLimits, bounded, described, label
from replworker.snapshot.files import restore_files
from replworker.snapshot.manifest import Manifest, check_chunks, decode, references
from replworker.snapshot.modules import restore_modules, restore_sources
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.seeds import SEED_MODULE, prologue, reader_seeds

_ATTEMPTS: Final = 3
"""Of reading a stream in which names fail: in the second and third, what came back before is in its place already."""

Names = dict[Any, Any]


class _Finder(Unpickler):
    """The C unpickler, with seeds found by number."""

    seeds: dict[str, Any]

    def find_class(self, module: str, name: str) -> Any:
        """A seed, or what the module has."""
        return self.seeds[name] if module == SEED_MODULE else super().find_class(module, name)


class _Streams:
    """The streams of one checkpoint, to be read one or more times."""

    def __init__(self, manifest: Manifest, chunks: Mapping[bytes, bytes], seeds: dict[str, Any]) -> None:
        self._seeds = seeds
        self._count = len(manifest.sections)
        self._pieces = [
            prologue(len(seeds)),
            *(piece for section in manifest.sections for piece in pieces(section, chunks)),
        ]
        self._buffers = [(blob, chunks) for blob in manifest.buffers]

    def read(self) -> Names:
        """All names, by the C unpickler; raises what a tenant's object raises."""
        reader = _Finder(opened(self._pieces), buffers=self._made_buffers())
        reader.seeds = self._seeds
        return self._parts(reader.load)

    def salvage(self, namespace: dict[str, object]) -> tuple[Names, dict[str, str]]:
        """The names that can be read, and the others with reasons."""
        from replworker.snapshot.salvage import SalvagingUnpickler, containers_of_modules

        finder = _Finder(io.BytesIO())
        finder.seeds = self._seeds
        reader = SalvagingUnpickler(opened(self._pieces), self._made_buffers(), finder.find_class)
        found = self._parts(reader.load)
        stop = containers_of_modules(namespace, self._seeds, found)
        reasons = {name: reader.reason_for(value, stop) for name, value in found.items()}
        failed = {label(name): reason for name, reason in reasons.items() if reason is not None}
        return {name: value for name, value in found.items() if reasons[name] is None}, failed

    def _made_buffers(self) -> list[bytearray]:
        return [joined_writable(blob, chunks) for blob, chunks in self._buffers]

    def _parts(self, load: Callable[[], Any]) -> Names:
        load()
        names: Names = load()
        if self._count == 1:
            return names
        small, order = load()
        return {name: small[name] if name in small else names[name] for name in order if name in small or name in names}


def restore(
    manifest: bytes,
    chunks: Mapping[bytes, bytes],
    namespace: dict[str, object],
    *,
    work_folder: str | None,
    injected: Mapping[str, object] | None = None,
    reseed: bool = False,
) -> RestoreReport:
    """Bring a checkpoint back into `namespace`, and into this process.

    Runs code of the tenant's, so call it inside the sandbox, with filters on and output where it belongs. `chunks` must
    have every chunk that the manifest refers to. `injected` is the mapping that the writer's Snapshotter had, with this
    process' objects. `reseed` (for copies) gives the random generators of modules a seed of the system's. A name that
    fails to load costs that name; an object that loops is for the caller to interrupt, as in `Snapshotter.take`. Raises
    `RestoreError` when nothing can be read.
    """
    baseline()
    parts = decode(manifest)
    try:
        check_chunks(parts, chunks)
        return _restored(parts, chunks, namespace, work_folder, injected or {}, reseed)
    except RestoreError:
        raise
    except Exception as error:  # the tenant's code is caught where it runs: this is a part that can't be read
        raise RestoreError("corrupt", described(error)) from error


def _restored(
    parts: Manifest,
    chunks: Mapping[bytes, bytes],
    namespace: dict[str, object],
    work_folder: str | None,
    injected: Mapping[str, object],
    reseed: bool,
) -> RestoreReport:
    unsaved = dict(parts.unsaved)
    files = 0
    if work_folder is not None:
        failed = restore_files(joined(parts.files, chunks), parts.large_files, chunks, work_folder)
        unsaved |= failed
        files = _count(joined(parts.files, chunks)) + len(parts.large_files) - len(failed)
    ambient = joined(parts.ambient, chunks)
    path = restore_ambient(ambient, work_folder)
    restore_modules(joined(parts.modules, chunks))
    unsaved |= restore_decimal(ambient)  # before the names, one of which may be the current context
    sources = restore_sources(joined(parts.sources, chunks))
    names, failures = _restore_names(parts, chunks, namespace, injected)
    # After the names, whose loading may draw, and may import what has generators.
    unsaved |= reseed_generators() if reseed else restore_generators(ambient)
    sys.path[:] = path
    unsaved = bounded({**unsaved, **failures}, SnapshotLimits().unsaved_max)
    return RestoreReport(unsaved, sources, references(parts), names, files)


def _count(entries: bytes) -> int:
    return len(marshal.loads(entries)) if entries else 0


def _restore_names(
    manifest: Manifest, chunks: Mapping[bytes, bytes], namespace: dict[str, object], injected: Mapping[str, object]
) -> tuple[int, dict[str, str]]:
    count, injected_names = manifest.seeds
    missing = [name for name in injected_names if name not in injected]
    if missing:
        raise RestoreError("injected_missing", ", ".join(missing))
    rebuilder = Rebuilder()
    seeds = reader_seeds(namespace, rebuilder, count, [injected[name] for name in injected_names])
    names, failures = _read(_Streams(manifest, chunks, seeds), namespace)
    namespace.update(names)
    litter = rebuilder.has_litter()
    rebuilder.forget()
    if litter:
        gc.collect()
    return len(names), failures


def _read(streams: _Streams, namespace: dict[str, object]) -> tuple[Names, dict[str, str]]:
    try:
        return streams.read(), {}
    except BaseException:  # of the tenant's own making, an interrupt, or damage: the slow reader finds out
        return _salvage(streams, namespace)


def _salvage(streams: _Streams, namespace: dict[str, object]) -> tuple[Names, dict[str, str]]:
    """Read what can be read; names that failed for want of others get a second chance with those in place."""
    before = dict(namespace)
    names, failures = _salvaged(streams, namespace)
    for _ in range(_ATTEMPTS - 1):
        if not failures:
            break
        namespace.update(names)
        again, still = _salvaged(streams, namespace)
        stuck = len(still) >= len(failures)
        if len(still) <= len(failures):
            names, failures = again, still
        if stuck:
            break
    for name in list(namespace):
        if name not in before:
            del namespace[name]
    namespace.update(before)
    return names, failures


def _salvaged(streams: _Streams, namespace: dict[str, object]) -> tuple[Names, dict[str, str]]:
    try:
        return streams.salvage(namespace)
    except Exception as error:
        raise RestoreError("corrupt", f"the namespace can't be read: {error}") from error
