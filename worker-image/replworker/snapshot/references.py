"""What can be had again by its name: modules, library functions and classes, singletons and locks of libraries."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

from replwire.hints import Any, Final
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.rebuild import Rebuilder

Reduced = tuple[Any, ...]

_C_SINGLETON_TYPES: Final = (type(None), type(NotImplemented), type(...))

_SINGLETONS: Final = (("random", "_inst"), ("numpy.random.mtrand", "_rand"), ("os", "environ"))
"""Instances whose state is kept apart, so a name bound to one must stay that one."""

SENTINEL_KINDS: Final = frozenset(
    {
        "dataclasses._FIELD_BASE",
        "dataclasses._MISSING_TYPE",
        "dataclasses._KW_ONLY_TYPE",
        "dataclasses._HAS_DEFAULT_FACTORY_CLASS",
        "random.Random",
        "numpy.random.mtrand.RandomState",
        "os._Environ",
    }
)
"""Classes with instances that libraries compare by identity or that are found as an attribute of their module."""


def is_importable(module: object) -> bool:
    """Whether this module can be had again by importing its name."""
    name = getattr(module, "__name__", None)
    return type(name) is str and is_importable_as(name, module)


def is_importable_as(name: str, module: object) -> bool:
    """Whether importing this name gives this module in a fresh process."""
    if sys.modules.get(name) is not module:
        return False
    return name == "__main__" or name in sys.builtin_module_names or has_spec(module)


def has_spec(module: object) -> bool:
    """Whether a module came by an import; survives a lazy one that raises when it is asked."""
    try:
        return getattr(module, "__spec__", None) is not None
    except Exception:
        return False


def has_address(target: object, module_name: object, path: str) -> bool:
    """Whether `module.path` is this very object, in a module other than `__main__` that can be imported again."""
    if type(module_name) is not str or module_name == "__main__":
        return False
    module = sys.modules.get(module_name)
    if module is None or not is_importable_as(module_name, module):
        return False
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found is target


def reduce_module(pickler: Any, module: types.ModuleType) -> Reduced:
    """A module by its name; one that was made by hand can't be had again."""
    if not is_importable(module):
        raise Unsaveable(module, "a module that can't be imported by its name")
    pickler.roots.add(module.__name__.partition(".")[0])
    return Rebuilder.module, (module.__name__,)


def globals_owner(names: dict[str, Any]) -> types.ModuleType | None:
    """The library module whose live dict these globals are."""
    module = sys.modules.get(names.get("__name__"))  # type: ignore[arg-type]
    if module is not None and module.__dict__ is names and is_importable(module):
        return module
    return None


_PLAIN_KINDS: Final = frozenset({str, int, float, bool, type(None), dict, list, tuple, types.FunctionType})


def is_made_by(module_name: str, name: str) -> bool:
    """Whether a module's own code has a name of its. One that it does not have was put there by somebody else; of C
    code nothing is known, and it is believed."""
    loader = getattr(getattr(sys.modules.get(module_name), "__spec__", None), "loader", None)
    try:
        code = loader.get_code(module_name)  # type: ignore[union-attr]
        return code is None or name in code.co_names
    except Exception:
        return True


def places_of(subject: object) -> Iterator[tuple[str, str]]:
    """Every place where a library module holds this object, as (module, name)."""
    for module_name, module in _libraries():
        for name, value in list(vars(module).items()):
            if value is subject and type(name) is str:
                yield module_name, name


def library_places() -> dict[int, tuple[str, str]]:
    """Where library modules hold objects, by id, as (module, name): `from m import lock`. Plain ones are left out."""
    places: dict[int, tuple[str, str]] = {}
    for module_name, module in _libraries():
        for name, value in list(vars(module).items()):
            if type(value) not in _PLAIN_KINDS and type(name) is str:
                places.setdefault(id(value), (module_name, name))
    return places


def _libraries() -> Iterator[tuple[str, types.ModuleType]]:
    for name, module in list(sys.modules.items()):
        if name != "__main__" and isinstance(module, types.ModuleType) and is_importable_as(name, module):
            yield name, module


def reduce_sentinel(pickler: Any, sentinel: object) -> Reduced:
    """An instance of one of `SENTINEL_KINDS`: by its place in a library, else by value."""
    for module_name, name in _SINGLETONS:
        if getattr(sys.modules.get(module_name), name, None) is sentinel:
            return Rebuilder.attribute, (module_name, name)
    home = sys.modules.get(type(sentinel).__module__)
    for name, value in vars(home).items() if home is not None else ():
        if value is sentinel:
            return Rebuilder.attribute, (type(sentinel).__module__, name)
    return by_value(sentinel)


def by_value(subject: Any) -> Reduced:
    """What pickle itself makes of it."""
    reduced: Reduced = subject.__reduce_ex__(5)
    return reduced


def reduce_decimal_context(pickler: Any, context: Any) -> Reduced:
    """The current context stays the current one; any other is a value."""
    if context is sys.modules["decimal"].getcontext():
        return Rebuilder.decimal_context, ()
    return by_value(context)


def reduce_nameless_type(pickler: Any, cls: type) -> Reduced:
    """A class of C code that its module doesn't show, such as that of functions: by where a library keeps it, or as
    the class of what a library keeps."""
    found: Reduced | None = pickler.attribute_of(cls)
    if found is not None:
        return found
    home = sys.modules.get(cls.__module__)
    for value in vars(home).values() if home is not None else ():
        if type(value) is cls:
            return type, (value,)
    raise Unsaveable(cls, f"the built-in class {cls.__name__}, which no name leads to")


def is_c_singleton_type(cls: type) -> bool:
    """Classes of None, ... and NotImplemented: pickle knows them."""
    return any(cls is known for known in _C_SINGLETON_TYPES)  # a metaclass may have an `__eq__` of its own


Reducer = Callable[[Any, Any], Any]
"""A reducer takes the pickler and the object; it gives what `__reduce_ex__` may give, or NotImplemented."""
