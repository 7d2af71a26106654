"""Instances of classes that pickle would read back wrongly, or not at all."""

from __future__ import annotations

import copyreg
import types
from collections.abc import Callable
from functools import partial

from replwire.hints import Any, Final
from replworker.snapshot.early import hash_steps, leads_nowhere
from replworker.snapshot.rebuild import Rebuilder

Reducer = Callable[[Any, Any], Any]
_CONTAINERS: Final = (dict, list, set, frozenset, tuple)
_newobj: Final = copyreg.__newobj__  # type: ignore[attr-defined]


def instance_reducer(kind: Any) -> Reducer | None:
    """How instances of this class reduce; None: leave it to pickle."""
    if kind in copyreg.dispatch_table:  # the tenant has told pickle
        return None
    if _reduces_itself(kind):
        return _reduce_custom
    if not _leaves_it_to_python(kind):
        return _reduce_derived if kind.__module__ == "__main__" or issubclass(kind, _CONTAINERS) else None
    base = _first_c_base(kind) if _is_made_by_tenant(kind) else None
    has_own_state = kind.__getstate__ is not object.__getstate__ or hasattr(kind, "__setstate__")
    if _has_own_hash(kind) and not has_own_state:
        return partial(_reduce_hashed, base, _reads_carefully(kind))
    return partial(_reduce_careful, base) if base is not None or _reads_carefully(kind) else None


def _reduces_itself(kind: Any) -> bool:
    """Whether the tenant wrote how instances of this class reduce."""
    return _has_own(kind, "__reduce__", "__reduce_ex__")


def _leaves_it_to_python(kind: Any) -> bool:
    return kind.__reduce__ is object.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__


def _has_own_hash(kind: type) -> bool:
    """Whether Python code gives the hash."""
    return type(kind.__hash__) is types.FunctionType


def _has_own(kind: type, *names: str) -> bool:
    """Whether the tenant defined one of these in this class or a base of it."""
    ours = [owner.__dict__ for owner in kind.__mro__ if owner.__module__ == "__main__"]
    return any(name in found for found in ours for name in names)


def _reduce_custom(pickler: Any, instance: Any) -> Any:
    """An instance of the tenant's that reduces itself. A name in `__main__` won't do: nothing is there yet when it is
    read, so then by value."""
    reduced = instance.__reduce_ex__(5)
    if not isinstance(reduced, str):
        return reduced
    return _newobj, (type(instance),), instance.__getstate__(), None, None, Rebuilder.set_instance


def _reduce_derived(pickler: Any, instance: Any) -> Any:
    """An instance of a library's container that reduces itself, or of a tenant's class below any such class: it may not
    know of further attributes."""
    reduced = instance.__reduce_ex__(5)
    attributes = getattr(instance, "__dict__", None)
    if not isinstance(reduced, tuple) or not attributes:
        return reduced
    call, args, state, *items = (*reduced, None, None, None)[:5]
    return reduced if state is not None else (call, args, attributes, *items, Rebuilder.set_attributes)


def _reduce_careful(base: type | None, pickler: Any, instance: Any) -> Any:
    """An instance that is filled without asking the half-made object anything, and made by `base` if that is given."""
    reduced = _reduced(base, instance)
    return reduced if reduced[2] is None else (*reduced, Rebuilder.set_instance)


def _reads_carefully(kind: Any) -> bool:
    """Whether reading the state would ask the half-made object, or set its slots, through the tenant's code."""
    asks = _has_own(kind, "__getattr__", "__getattribute__")
    return asks or (_has_own(kind, "__setattr__") and bool(copyreg._slotnames(kind)))  # type: ignore[attr-defined]


def _reduce_hashed(base: type | None, is_careful: bool, pickler: Any, instance: Any) -> Any:
    """An instance whose attributes may lead to a set that holds it: those that its hash may need come first."""
    reduced = _reduced(base, instance)
    state = reduced[2]
    attributes, slots = state if type(state) is tuple else (state, None)
    if leads_nowhere(attributes) and leads_nowhere(slots):
        return (*reduced, Rebuilder.set_instance) if is_careful and state is not None else reduced
    steps = hash_steps(instance, attributes, slots)
    return (*reduced[:2], (*steps, attributes, slots), *reduced[3:], Rebuilder.set_hashed)


def _reduced(base: type | None, instance: Any) -> tuple[Any, ...]:
    """Five parts: what Python makes of it, past the tenant's `__new__` if a base of C code is given."""
    reduced: Any = object.__reduce_ex__(instance, 5)
    return reduced if base is None else (Rebuilder.member, (type(instance), base, reduced[1][1:]), *reduced[2:])


def _is_made_by_tenant(kind: type) -> bool:
    """Whether `__new__` may want other arguments than there are, or may do what it did already; or `__class__` lies,
    which pickle takes for an error."""
    arguments = [getattr(kind, name, None) for name in ("__getnewargs__", "__getnewargs_ex__")]
    tells_arguments = any(type(method) is types.FunctionType for method in arguments)
    return _has_own(kind, "__new__", "__class__") and not tells_arguments


def _first_c_base(kind: type) -> type:
    return next(owner for owner in kind.__mro__ if type(owner.__dict__.get("__new__")) is types.BuiltinFunctionType)
