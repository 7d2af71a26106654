"""Reducers for objects that pickle can't do, or does wrongly, and that a namespace often holds."""

from __future__ import annotations

import gc
import sys

from replwire.hints import Any, Final
from replworker.snapshot.arrays import ARRAYS
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.references import Reduced, Reducer, by_value, has_address

_ITERATORS_WARN: Final = sys.version_info >= (3, 12)


def _reduce_wrapper(pickler: Any, wrapper: Any) -> Reduced:
    """`staticmethod` and `classmethod`, with what `functools.wraps` put on them left to the function."""
    return type(wrapper), (wrapper.__func__,)


def _reduce_property(pickler: Any, found: property) -> Reduced:
    args = (found.fget, found.fset, found.fdel, found.__doc__)
    return type(found), args


def _reduce_enum_property(pickler: Any, found: Any) -> Reduced:
    """`enum.property`, which keeps names beside the functions of a property."""
    attributes = {name: value for name, value in vars(found).items() if name != "__doc__"}
    return Rebuilder.with_attributes, (type(found), (found.fget, found.fset, found.fdel, found.__doc__), attributes)


def _reduce_lru_cache(pickler: Any, wrapper: Any) -> Any:
    if has_address(wrapper, wrapper.__module__, wrapper.__qualname__):
        return NotImplemented
    parameters = wrapper.cache_parameters()
    args = (wrapper.__wrapped__, parameters["maxsize"], parameters["typed"])
    return Rebuilder.cached_method, args, dict(vars(wrapper)), None, None, Rebuilder.set_instance


def _reduce_cached_property(pickler: Any, found: Any) -> Reduced:
    return Rebuilder.cached_property, (found.func, found.attrname, found.__doc__)


def _reduce_mapping_proxy(pickler: Any, proxy: Any) -> Reduced:
    """A read-only view with its very dict; that of a class is `vars(cls)`."""
    mapping = gc.get_referents(proxy)[0]
    owner = _class_of(mapping)
    if owner is not None:
        return Rebuilder.class_view, (owner,)
    return Rebuilder.proxy, (mapping,)


def _class_of(mapping: Any) -> type | None:
    descriptor = mapping.get("__dict__") if type(mapping) is dict else None
    owner = getattr(descriptor, "__objclass__", None)
    return owner if isinstance(owner, type) and gc.get_referents(owner.__dict__)[0] is mapping else None


def _reduce_dict_view(pickler: Any, view: Any) -> Reduced:
    """`d.keys()`, `d.values()`, `d.items()`: of that very dict."""
    mapping = gc.get_referents(view)[0]
    return getattr(dict, type(view).__name__.removeprefix("dict_")), (mapping,)


def reduce_weak_reference(pickler: Any, reference: Any) -> Reduced:
    """What it points to comes along, and dies after the restore unless something else holds it, as it would have."""
    return Rebuilder.weak_reference, (reference(), reference.__callback__)


def _reduce_weak(pickler: Any, container: Any) -> Reduced:
    items = dict(container.items()) if hasattr(container, "items") else list(container)
    return Rebuilder.weak_set, (type(container), items)


def _reduce_type_variable(pickler: Any, variable: Any) -> Any:
    name, module = variable.__name__, variable.__module__
    if has_address(variable, module, name):
        return NotImplemented
    options: dict[str, Any] = {"covariant": variable.__covariant__, "contravariant": variable.__contravariant__}
    if variable.__bound__ is not None:
        options["bound"] = variable.__bound__
    if getattr(variable, "__infer_variance__", False):
        options["infer_variance"] = True
    options.update(_default(variable))
    return Rebuilder.type_parameter, (type(variable), name, variable.__constraints__, options, module)


def _reduce_parameters(pickler: Any, variable: Any) -> Any:
    """`ParamSpec` and `TypeVarTuple`."""
    name, module = variable.__name__, variable.__module__
    if has_address(variable, module, name):
        return NotImplemented
    options = _default(variable)
    if getattr(variable, "__bound__", None) is not None:
        options["bound"] = variable.__bound__
    return Rebuilder.type_parameter, (type(variable), name, (), options, module)


def _default(variable: Any) -> dict[str, Any]:
    """Type parameters have defaults from Python 3.13 on."""
    return {"default": variable.__default__} if hasattr(variable, "has_default") and variable.has_default() else {}


def _reduce_type_alias(pickler: Any, alias: Any) -> Any:
    if has_address(alias, alias.__module__, alias.__name__):
        return NotImplemented
    options = {"type_params": alias.__type_params__}
    return Rebuilder.type_parameter, (type(alias), alias.__name__, (alias.__value__,), options, alias.__module__)


def _reduce_new_type(pickler: Any, made: Any) -> Any:
    if has_address(made, made.__module__, made.__qualname__):
        return NotImplemented
    attributes = {"__module__": made.__module__, "__qualname__": made.__qualname__}
    return Rebuilder.with_attributes, (type(made), (made.__name__, made.__supertype__), attributes)


def reduce_iterator(pickler: Any, iterator: Any) -> Reduced:
    """Iterators of `itertools`; from 3.12 on their pickling warns, which is none of the tenant's business."""
    if not _ITERATORS_WARN:
        return by_value(iterator)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return by_value(iterator)


def _reduce_finalizing(pickler: Any, subject: object) -> Any:
    raise Unsaveable(subject, "a temporary folder")


SPECIAL: Final[dict[str, Reducer]] = {
    "builtins.staticmethod": _reduce_wrapper,
    "builtins.classmethod": _reduce_wrapper,
    "builtins.property": _reduce_property,
    "enum.property": _reduce_enum_property,
    "types.DynamicClassAttribute": _reduce_enum_property,
    "functools._lru_cache_wrapper": _reduce_lru_cache,
    "functools.cached_property": _reduce_cached_property,
    "builtins.mappingproxy": _reduce_mapping_proxy,
    "builtins.dict_keys": _reduce_dict_view,
    "builtins.dict_values": _reduce_dict_view,
    "builtins.dict_items": _reduce_dict_view,
    "weakref.WeakKeyDictionary": _reduce_weak,
    "weakref.WeakValueDictionary": _reduce_weak,
    "_weakrefset.WeakSet": _reduce_weak,
    "tempfile.TemporaryDirectory": _reduce_finalizing,
    "typing.TypeVar": _reduce_type_variable,
    "typing.ParamSpec": _reduce_parameters,
    "typing.TypeVarTuple": _reduce_parameters,
    "typing.TypeAliasType": _reduce_type_alias,
    "typing.NewType": _reduce_new_type,
    **ARRAYS,
}
"""By `module.qualname` of the exact class, so that nothing is imported to look for it."""
