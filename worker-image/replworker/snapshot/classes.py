"""Classes by value: first bare, so that what they hold can refer to them, then their attributes one by one.

Neither `__init_subclass__` nor a tenant's metaclass runs again; slots, abstract methods, `super()`, enumerations,
data classes and named tuples come out as they were, and each class stays one object.
"""

from __future__ import annotations

import copyreg
import sys
import types

from replwire.hints import Any, Final
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.early import class_state
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.references import Reduced, has_address, is_c_singleton_type, reduce_nameless_type

_BODY: Final = ("__module__", "__qualname__", "__slots__", "__orig_bases__", "__class__")
"""Attributes that a class needs at its birth."""
_FOREIGN_BODY: Final = ("_flags_", "_restype_", "_argtypes_", "_type_", "_length_", "_pack_")
"""The same for classes of ctypes."""
_SKIPPED: Final = frozenset({*_BODY, "_abc_impl", "__dictoffset__", "__weakrefoffset__"})
_SLOT_TYPES: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)
_C_METHOD_TYPES: Final = (types.MethodDescriptorType, types.WrapperDescriptorType)
DESCRIPTORS: Final = (property, staticmethod, classmethod)
_PLAIN_DATA: Final = (int, str, float, bytes, tuple, complex)


def reduce_class(pickler: Any, cls: type) -> Any:
    """A class by reference where its module shows it under its name, else by value."""
    if is_c_singleton_type(cls):
        return NotImplemented
    is_ours = _is_of_session(pickler, cls)
    if not is_ours and has_address(cls, cls.__module__, cls.__qualname__):
        return NotImplemented
    if is_made_by_c_code(cls):
        return reduce_nameless_type(pickler, cls)
    if not is_ours and _is_elsewhere(cls) and (found := pickler.attribute_of(cls)) is not None:
        return found
    meta = type(cls)
    args = (meta, cls.__name__, cls.__bases__, _body(cls))
    state = class_state(cls, _attributes(cls), _registered(cls))
    return Rebuilder.new_class, args, state, None, None, Rebuilder.set_class


def is_made_by_c_code(cls: type) -> bool:
    """Whether no `class` statement made it: its methods are C functions of its own."""
    if not cls.__flags__ & (1 << 9):  # Py_TPFLAGS_HEAPTYPE
        return True
    if cls.__flags__ & (1 << 8):  # Py_TPFLAGS_IMMUTABLETYPE
        return True
    return any(type(value) in _C_METHOD_TYPES and value.__objclass__ is cls for value in list(cls.__dict__.values()))


def _is_of_session(pickler: Any, cls: type) -> bool:
    """Whether the session made it, though it may say that it is a library's and have been put there: all of its
    functions are the session's, and not because a library's class was given one."""
    if cls.__module__ == "__main__":
        return True
    has_own = False
    for value in list(cls.__dict__.values()):
        if type(value) is types.FunctionType:
            if value.__globals__ is not pickler.namespace:
                return False
            has_own = has_own or "." in value.__code__.co_qualname
    return has_own


def _is_elsewhere(cls: type) -> bool:
    """Whether a library's class is not where it says that it lives: that module was not imported yet, or something else
    took its place."""
    module_name = cls.__module__
    return module_name not in sys.modules or hasattr(sys.modules[module_name], cls.__qualname__)


def _body(cls: type) -> dict[str, Any]:
    found = cls.__dict__
    body: dict[str, Any] = {"__module__": found.get("__module__"), "__qualname__": cls.__qualname__}
    if "__slots__" in found:
        body["__slots__"] = _slots(cls, found["__slots__"])
    body.update({name: found[name] for name in _birth_names(cls) if name in found})
    return body


def _birth_names(cls: type) -> tuple[str, ...]:
    meta: Any = type(cls)
    is_foreign = any(owner.__module__ == "_ctypes" for owner in meta.__mro__)
    return (*_BODY[3:], *_FOREIGN_BODY) if is_foreign else _BODY[3:]


def _slots(cls: type, slots: Any) -> Any:
    """`__slots__` as it was written; an iterator is used up by now, so then the names of the slots themselves."""
    if isinstance(slots, (str, tuple, list, dict)):
        return slots
    return tuple(name for name, value in cls.__dict__.items() if _is_slot(cls, value))


def _is_slot(cls: type, value: Any) -> bool:
    return type(value) in _SLOT_TYPES and value.__objclass__ is cls


def _attributes(cls: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in list(cls.__dict__.items())
        if name not in _SKIPPED and not _is_made_again(cls, name, value)
    }


def _is_made_again(cls: type, name: str, value: Any) -> bool:
    """Descriptors that come with the class: of slots, of fields (ctypes), and those that a decorator copied over."""
    if name in ("__dict__", "__weakref__") and type(value) is types.GetSetDescriptorType:
        return True
    return _is_slot(cls, value) or type(value).__name__ == "CField"


def _registered(cls: type) -> tuple[type, ...]:
    """Classes registered with an abstract class, in the order of their names, so that equal states have equal bytes."""
    if "_abc_impl" not in cls.__dict__:
        return ()
    references = sys.modules["_abc"]._get_dump(cls)[0]
    found = [virtual for virtual in (reference() for reference in references) if virtual is not None]
    return tuple(sorted(found, key=lambda virtual: virtual.__qualname__))


def reduce_member(pickler: Any, member: Any) -> Any:
    """A member of an enumeration of the tenant's: not by its value, which the class may not know yet."""
    cls = type(member)
    if has_address(cls, cls.__module__, cls.__qualname__):
        return NotImplemented
    base = getattr(cls, "_member_type_", object)
    return Rebuilder.member, (cls, base, _data(member, base)), dict(member.__dict__), None, None, Rebuilder.set_instance


def _data(member: Any, base: Any) -> tuple[Any, ...]:
    if base in _PLAIN_DATA:
        return tuple(base.__getnewargs__(member))  # not `base(member)`: `str()` of a member gives its name
    if base.__new__ is object.__new__:
        return ()
    reduced = base.__reduce_ex__(member, 2)
    if isinstance(reduced, tuple) and reduced[0] is type(member):
        return tuple(reduced[1])
    raise Unsaveable(member, f"an enumeration of {base.__name__}")


def reduce_exception(pickler: Any, error: BaseException) -> Any:
    """An exception with cause and context, made past an `__init__` in Python, which may want other arguments."""
    cls: Any = type(error)
    base: Any = next(owner for owner in cls.__mro__ if type(owner.__dict__.get("__init__")) in _C_METHOD_TYPES)
    ours = cls is not base and cls.__reduce__ is base.__reduce__ and cls.__reduce_ex__ is base.__reduce_ex__
    reduced = base.__reduce__(error) if ours else error.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) > 3:
        return reduced
    slots = _exception_slots(error)
    if not ours and not slots and error.__cause__ is None and error.__context__ is None:
        return reduced
    parts = (error.message, error.exceptions) if isinstance(error, BaseExceptionGroup) else reduced[1]
    make, args = (Rebuilder.past_init, (cls, base, parts)) if ours else reduced[:2]
    inner = reduced[2] if len(reduced) == 3 else None
    state = (inner, error.__cause__, error.__context__, error.__suppress_context__, slots)
    return make, args, state, None, None, Rebuilder.set_exception


def _exception_slots(error: BaseException) -> dict[str, Any]:
    """What an exception holds beside its arguments and its dict, which is all that its own pickle has."""
    names: list[str] = copyreg._slotnames(type(error))  # type: ignore[attr-defined]
    if isinstance(error, (NameError, AttributeError)):
        names = [*names, "name"]
    found = {name: getattr(error, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def reduce_descriptor(pickler: Any, found: Any) -> Reduced:
    """An instance of the tenant's subclass of property, staticmethod or classmethod."""
    base = next(owner for owner in type(found).__mro__ if owner in DESCRIPTORS)
    args = (found.fget, found.fset, found.fdel, found.__doc__) if base is property else (found.__func__,)
    attributes = dict(getattr(found, "__dict__", ()))
    return Rebuilder.past_init, (type(found), base, args), attributes, None, None, Rebuilder.set_instance
