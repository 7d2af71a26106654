"""Objects that a checkpoint refers to by number, because the reader has them already.

The pickler's memo is seeded with them, and a hand-made prologue memoizes the reader's own in the same order. So every
function's `__globals__` is the *live* namespace after a restore, and the constructors of `rebuild` cost two bytes.
"""

from __future__ import annotations

import builtins
import sys
from _pickle import Pickler
from collections.abc import Mapping, Sequence

from replwire.hints import Any, Final
from replworker.snapshot.rebuild import Rebuilder

SEED_MODULE: Final = "bascule"

CONSTRUCTORS: Final = (
    "function",
    "set_function",
    "cell",
    "set_cell",
    "code",
    "new_class",
    "set_class",
    "module",
    "attribute",
    "past_init",
    "set_exception",
    "member",
    "set_instance",
    "with_attributes",
    "cached_method",
    "cached_property",
    "proxy",
    "class_view",
    "weak_set",
    "array_view",
    "type_parameter",
    "decimal_context",
    "method",
    "set_attributes",
    "set_methods",
    "set_hashed",
    "object_view",
    "set_sharing",
    "weak_reference",
    "record_view",
    "plain_array",
)
"""Methods of `Rebuilder`, in the order of their numbers. Append only: a stored checkpoint knows how many it saw."""


def fixed_seeds(namespace: dict[str, object], rebuilder: object) -> list[Any]:
    """The live namespace, three containers of the interpreter, then the constructors."""
    containers = [namespace, builtins.__dict__, sys.modules, sys.path]
    return [*containers, *(getattr(rebuilder, name) for name in CONSTRUCTORS)]


class _Nowhere:
    """A file for a pickler that only lends its memo."""

    def write(self, data: bytes) -> int:
        return len(data)


class Seeds:
    """The writer's side: a memo to copy into each pickler.

    `injected` are objects that the interpreter gave to the namespace; they are restored from the reader's mapping.
    """

    def __init__(self, namespace: dict[str, object], injected: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._injected = injected
        self._path: object = None
        self.names = tuple(sorted(injected))
        self.count = 4 + len(CONSTRUCTORS)

    def memo(self) -> Any:
        """The memo to assign to a new pickler. Made again when the tenant has put another list into `sys.path`."""
        if self._path is not sys.path:
            self._path = sys.path
            objects = [*fixed_seeds(self._namespace, Rebuilder), *(self._injected[name] for name in self.names)]
            self._template = Pickler(_Nowhere(), 5)
            self._template.memo = {id(seed): (number, seed) for number, seed in enumerate(objects)}
            self._objects = objects  # ids stay taken while this lives
        return self._template.memo


def prologue(count: int) -> bytes:
    """A pickle that memoizes seeds 0 to `count` - 1 through `find_class(SEED_MODULE, number)`, and holds None."""
    module = SEED_MODULE.encode()
    return b"".join(b"c%s\n%d\n\x940" % (module, number) for number in range(count)) + b"N."


def reader_seeds(
    namespace: dict[str, object], rebuilder: object, count: int, injected: Sequence[object]
) -> dict[str, Any]:
    """The reader's side: number (as text) to object; `count` of the fixed ones, as many as the writer had."""
    objects = [*fixed_seeds(namespace, rebuilder)[:count], *injected]
    return {str(number): seed for number, seed in enumerate(objects)}
