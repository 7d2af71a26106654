"""Modules and sources: what the tenant's code imported, and the texts of the evals that live code comes from."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping

from replwire.hints import Any, Final
from replworker.snapshot.ambient import baseline
from replworker.snapshot.references import has_spec

_PLAIN_BYTES_MAX: Final = 1024
_NAMES_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of what a compressed section may hold: a checkpoint that was tampered with can't fill the memory."""
_COMPRESSED: Final = b"\0zlib"
"""In front of a compressed section; no marshalled list begins so."""


class Modules:
    """Modules of the packages that the names refer to, imported since the start, in that order.

    So `import a.b` brings `a.b` back, not only `a`. What nobody refers to stays behind: it may well be the
    interpreter's own.
    """

    def __init__(self) -> None:
        self._start = baseline().modules
        self.looked: tuple[Any, ...] = ((), b"")
        """When it was last looked, and what was found: plain data."""

    def section(self, roots: set[str]) -> bytes:
        """The section of the manifest, for these top-level packages; empty when there is nothing to import."""
        if not roots:
            return b""
        seen = len(sys.modules), next(reversed(sys.modules)), tuple(sorted(roots))
        if seen != self.looked[0]:
            self.looked = seen, _packed(_imported(self._start, roots))
        found: bytes = self.looked[1]
        return found


def _imported(start: frozenset[str], roots: set[str]) -> list[str]:
    return [
        name
        for name, module in list(sys.modules.items())
        if type(name) is str and name not in start and name.partition(".")[0] in roots and has_spec(module)
    ]


def _packed(names: list[str]) -> bytes:
    """Marshalled names, compressed when they are many: pandas alone is 400 modules."""
    data = marshal.dumps(names) if names else b""
    if len(data) <= _PLAIN_BYTES_MAX:
        return data
    import zlib

    return _COMPRESSED + zlib.compress(data)


def restore_modules(section: bytes) -> None:
    """Import what the tenant had imported; one that fails is missed by the names that need it, and told there."""
    if section.startswith(_COMPRESSED):
        import zlib

        section = zlib.decompressobj().decompress(section[len(_COMPRESSED) :], _NAMES_BYTES_MAX)
    for name in marshal.loads(section) if section else ():
        if name in sys.modules:
            continue
        try:
            __import__(name)
        except BaseException:  # whatever a module of the tenant's raises, and an interrupt of one that loops
            pass


class Sources:
    """Source texts by file name (`<eval 12>`), of the code that is in the checkpoint."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}
        self._section = b""

    def section(self, filenames: set[str], sources: Mapping[str, str]) -> bytes:
        """Marshalled texts of those that are used and known."""
        used = {name: sources[name] for name in filenames if name in sources}
        if used != self._used:
            self._used = used
            self._section = marshal.dumps(dict(sorted(used.items()))) if used else b""
        return self._section


def restore_sources(section: bytes) -> dict[str, str]:
    """The texts, put into `linecache` too, where tracebacks and `inspect.getsource` look."""
    texts: dict[str, str] = marshal.loads(section) if section else {}
    if texts:
        import linecache

        for name, text in texts.items():
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return texts
