"""What has to be in its place before the rest of an object is read.

An object may be met again while its own state is read: as a key of a set or dict, which needs its hash, or, when it is
a class, through an instance that needs its `__setstate__`. So that part of the state comes first.
"""

from __future__ import annotations

import types
from collections.abc import Callable

from replwire.hints import Any, Final
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.references import Reduced

_PLAIN: Final = frozenset({int, float, bool, type(None), complex, str, bytes})
_CONTAINERS: Final = frozenset({tuple, frozenset, list, set})
_METHODS: Final = frozenset(
    {
        types.FunctionType,
        types.BuiltinFunctionType,
        types.MethodDescriptorType,
        types.WrapperDescriptorType,
        staticmethod,
        classmethod,
        property,
    }
)


class Step:
    """A call that the reader makes in the midst of a state, before it reads what comes after this in that state."""

    __slots__ = ("args", "call")

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self.call = call
        self.args = args


def reduce_step(pickler: Any, step: Step) -> Reduced:
    """The call itself; what it gives is for nobody."""
    return step.call, step.args


def class_state(cls: type, attributes: dict[str, Any], registered: tuple[type, ...]) -> tuple[Any, ...]:
    """State for `Rebuilder.set_class`: methods and plain values first, then what may hold instances of the class."""
    first = {name: value for name, value in attributes.items() if _comes_first(name, value)}
    if not first or len(first) == len(attributes):
        return attributes, registered
    late = {name: value for name, value in attributes.items() if name not in first}
    in_order = {name: first.get(name) for name in attributes if name in first or not name.startswith("_")}
    return Step(Rebuilder.set_methods, cls, in_order), late, registered


def _comes_first(name: str, value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or kind in _METHODS or name == "__dataclass_fields__"  # its `__setstate__` asks for them


def leads_nowhere(attributes: dict[str, Any] | None) -> bool:
    """Whether these are plain values and containers of plain values only."""
    return not attributes or all(map(_is_end, attributes.values()))


def _is_end(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(part) in _PLAIN for pair in value.items() for part in pair)
    return kind in _PLAIN or (kind in _CONTAINERS and all(type(part) in _PLAIN for part in value))


def hash_steps(instance: Any, attributes: dict[str, Any] | None, slots: dict[str, Any] | None) -> tuple[Step, ...]:
    """Attributes that a hash can be made of, ahead of the others: plain values, then whatever is no container, if there
    are containers to come after it."""
    has_late = any(type(value).__hash__ is None for found in (attributes, slots) if found for value in found.values())
    kinds = (_is_plain, _is_hashable) if has_late else (_is_plain,)
    pairs = [(_only(which, attributes), _only(which, slots)) for which in kinds]
    return tuple(Step(Rebuilder.set_instance, instance, pair) for pair in pairs if any(pair))


def _only(which: Callable[[Any], bool], attributes: dict[str, Any] | None) -> dict[str, Any] | None:
    return attributes and {name: value for name, value in attributes.items() if which(value)}


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind in (tuple, frozenset) and all(type(part) in _PLAIN for part in value))


def _is_hashable(value: Any) -> bool:
    return type(value).__hash__ is not None and not _is_plain(value)
