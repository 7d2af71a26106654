"""What a checkpoint calls while it is read: makes functions, cells, classes and whatever has no pickle of its own.

The writer names these methods in its stream; the reader calls them on a `Rebuilder` of its own.
"""

from __future__ import annotations

import marshal
import sys
import types
from _weakref import ReferenceType
from collections.abc import Callable, Iterable

from replwire.hints import Any
from replworker.snapshot.rebuild_arrays import ArrayRebuilder


def plain_new(meta: type, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
    """Make a class without running `__init_subclass__` of its bases: they ran when the class was defined.

    What they changed outside the class is state too and comes back by itself; a second run would double it.
    """
    hooks = [(owner, owner.__dict__["__init_subclass__"]) for owner in _hook_owners(bases)]
    removed = []
    try:
        for owner, hook in hooks:
            try:
                type.__delattr__(owner, "__init_subclass__")
                removed.append((owner, hook))
            except TypeError:  # a class of C code: its hook runs
                pass
        cls = creator(meta)(meta, name, bases, body)
    finally:
        for owner, hook in removed:
            type.__setattr__(owner, "__init_subclass__", hook)
    if any(owner.__module__ == "_ctypes" for owner in meta.__mro__):
        meta.__init__(cls, name, bases, body)  # type: ignore[misc]  # from Python 3.13 on the layout is made here
    return cls


def _hook_owners(bases: tuple[type, ...]) -> list[type]:
    owners = {owner: None for base in bases for owner in base.__mro__ if owner is not object}
    return [owner for owner in owners if "__init_subclass__" in owner.__dict__]


def creator(meta: type) -> Callable[..., type]:
    """`__new__` of the first metaclass that a library wrote; the tenant's own `__new__` ran at the definition."""
    for owner in meta.__mro__:
        if owner.__module__ == "enum" or owner.__name__ == "_TypedDictMeta":
            return type.__new__
        if owner.__module__ != "__main__" and "__new__" in owner.__dict__:
            return owner.__new__
    return type.__new__


def assign(cls: type, name: str, value: object) -> None:
    """Set a class attribute past the metaclass' own `__setattr__`, unless C code insists on it (ctypes)."""
    try:
        type.__setattr__(cls, name, value)
    except TypeError:
        setattr(cls, name, value)


class _Gone:
    """What a dead reference has pointed to."""


class Rebuilder(ArrayRebuilder):
    """The constructors of one restore."""

    def __init__(self) -> None:
        self._codes: dict[bytes, types.CodeType] = {}
        self._unfinished: dict[int, type] = {}

    def code(self, blob: bytes) -> types.CodeType:
        """A code object; one object for equal blobs, so that closures of one function share it."""
        code = self._codes.get(blob)
        if code is None:
            code = self._codes[blob] = marshal.loads(blob)
        return code

    def function(
        self, blob: bytes, names: dict[str, Any] | types.ModuleType, cells: tuple[types.CellType, ...] | None = None
    ) -> types.FunctionType:
        """A function; `names` are its globals, or the library module that owns them."""
        if isinstance(names, types.ModuleType):
            names = names.__dict__
        return types.FunctionType(self.code(blob), names, None, None, cells)

    def set_function(self, function: types.FunctionType, state: dict[str, Any]) -> None:
        """What differs from a fresh function; `cells` are contents, () for an empty one."""
        function.__dict__.update(state.pop("__dict__", ()))
        for cell, contents in zip(function.__closure__ or (), state.pop("cells", ()), strict=False):
            for content in contents:
                cell.cell_contents = content
        for name, value in state.items():
            setattr(function, name, value)

    def method(self, function: Callable[..., Any], owner: object) -> types.MethodType:
        """A bound method."""
        return types.MethodType(function, owner)

    def cell(self) -> types.CellType:
        """An empty cell; its contents come with the functions that share it."""
        return types.CellType()

    def set_cell(self, cell: types.CellType, content: object) -> None:
        """Contents of a cell that no function had announced."""
        cell.cell_contents = content

    def new_class(self, meta: type, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        """A class without its attributes, so that what these hold can refer to it."""
        cls = plain_new(meta, name, bases, body)
        self._unfinished[id(cls)] = cls
        return cls

    def set_methods(self, cls: type, attributes: dict[str, Any]) -> None:
        """A class' methods, ahead of its other attributes, of which public ones are None for now."""
        for name, value in attributes.items():
            assign(cls, name, value)

    def set_class(self, cls: type, state: tuple[Any, ...]) -> None:
        """A class' attributes, and the classes registered with it (abc)."""
        *_, attributes, registered = state
        self._unfinished.pop(id(cls), None)
        for name, value in attributes.items():
            assign(cls, name, value)
        for virtual in registered:
            cls.register(virtual)  # type: ignore[attr-defined]

    def has_litter(self) -> bool:
        """Whether a class was begun twice, which `__subclasses__()` would show until it is collected."""
        return bool(self._unfinished)

    def forget(self) -> None:
        """Let go of half-made classes and of the blobs."""
        self._unfinished.clear()
        self._codes.clear()

    def module(self, name: str) -> types.ModuleType:
        """A module by name, imported if need be."""
        __import__(name)
        return sys.modules[name]

    def attribute(self, module: str, name: str) -> Any:
        """An object by where it is found, dots allowed."""
        found: Any = self.module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def past_init(self, cls: type, base: Any, args: tuple[Any, ...]) -> Any:
        """An exception or descriptor past the tenant's `__init__`, whose arguments may be others than `args`."""
        made = base.__new__(cls, *args)
        base.__init__(made, *args)
        return made

    def set_exception(self, error: BaseException, state: tuple[Any, ...]) -> None:
        """Attributes, cause and context. A traceback holds frames and does not come along."""
        inner, cause, context, suppress, slots = state
        if inner is not None:
            error.__setstate__(inner)
        error.__cause__ = cause
        error.__context__ = context
        error.__suppress_context__ = suppress
        for name, value in slots.items():
            object.__setattr__(error, name, value)

    def member(self, cls: type, base: Any, args: tuple[Any, ...]) -> Any:
        """A member of an enumeration, past its look-up by value."""
        return base.__new__(cls, *args)

    def set_instance(self, instance: Any, state: Any) -> None:
        """State of an instance whose class has `__getattr__`, which must not run on a half-made object."""
        setter = getattr(type(instance), "__setstate__", None)
        if setter is not None:
            setter(instance, state)
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if attributes:
            object.__getattribute__(instance, "__dict__").update(attributes)
        for name, value in (slots or {}).items():
            object.__setattr__(instance, name, value)

    def set_hashed(self, instance: Any, state: tuple[Any, ...]) -> None:
        """State of an instance of which a part came first; in the order in which it was written."""
        *_, attributes, slots = state
        if attributes:
            object.__getattribute__(instance, "__dict__").clear()
        self.set_instance(instance, (attributes, slots))

    def set_attributes(self, instance: Any, attributes: dict[str, Any]) -> None:
        """What a tenant's instance has beside the state that a library's class knows of."""
        object.__getattribute__(instance, "__dict__").update(attributes)

    def with_attributes(self, kind: Callable[..., Any], args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """`kind(*args)` with attributes of its own: static and class methods, properties, `NewType`, views."""
        made = kind(*args)
        for name, value in attributes.items():
            setattr(made, name, value)
        return made

    def cached_method(self, function: Any, size: int | None, typed: bool) -> Any:
        """`lru_cache` around a function, empty: caches are not kept."""
        import functools

        return functools.lru_cache(size, typed)(function)

    def cached_property(self, function: Any, name: str | None, doc: str | None) -> Any:
        """`functools.cached_property`; its lock (before 3.12) is a new one."""
        import functools

        made = functools.cached_property(function)
        made.attrname, made.__doc__ = name, doc
        return made

    def proxy(self, mapping: dict[Any, Any]) -> Any:
        """A read-only view of a dict."""
        return types.MappingProxyType(mapping)

    def class_view(self, cls: type) -> Any:
        """`vars(cls)`."""
        return cls.__dict__

    def weak_reference(self, target: Any, callback: Callable[..., Any] | None) -> Any:
        """A reference that holds nothing; None as the target: one whose object has died."""
        return ReferenceType(_Gone() if target is None else target, callback)

    def weak_set(self, kind: Any, items: Iterable[Any]) -> Any:
        """A weak container; what nothing else holds leaves it, as it would have."""
        return kind(items)

    def type_parameter(self, kind: Any, name: str, args: tuple[Any, ...], options: dict[str, Any], module: str) -> Any:
        """A `TypeVar`, `ParamSpec`, `TypeVarTuple` or type alias."""
        made = kind(name, *args, **options)
        try:
            made.__module__ = module
        except (AttributeError, TypeError):  # an alias made by the `type` statement: read-only
            pass
        return made

    def decimal_context(self) -> Any:
        """The thread's own decimal context, whose settings are restored apart."""
        import decimal

        return decimal.getcontext()
