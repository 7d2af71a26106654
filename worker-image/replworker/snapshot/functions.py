"""Functions by value: `marshal` of the code, live globals, cells as objects.

Cells are pickled bare and filled by the functions that close over them, so two closures that share a `nonlocal`
still share it, and a function may close over itself.
"""

from __future__ import annotations

import marshal
import sys
import types

from replwire.hints import Any, Final
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.rebuild import Rebuilder
from replworker.snapshot.references import Reduced, globals_owner, has_address

_HAS_TYPE_PARAMETERS: Final = sys.version_info >= (3, 12)


class CodeCache:
    """Marshalled code objects, kept while the last checkpoint or the current one uses them."""

    def __init__(self) -> None:
        self._older: dict[int, tuple[types.CodeType, bytes]] = {}
        self._newer: dict[int, tuple[types.CodeType, bytes]] = {}

    def blob(self, code: types.CodeType) -> bytes:
        """The marshalled code. Raises `Unsaveable` for constants that code can't normally have."""
        key = id(code)
        entry = self._newer.get(key)
        if entry is None:
            entry = self._older.get(key)
            if entry is None:
                try:
                    entry = (code, marshal.dumps(code))
                except ValueError:
                    raise Unsaveable(code, "code with constants that can't be kept") from None
            self._newer[key] = entry
        return entry[1]

    def turn(self) -> None:
        """A checkpoint is complete: forget what it did not use."""
        self._older, self._newer = self._newer, {}


def reduce_code(pickler: Any, code: types.CodeType) -> Reduced:
    """A bare code object."""
    pickler.filenames.add(code.co_filename)
    return Rebuilder.code, (pickler.codes.blob(code),)


def reduce_function(pickler: Any, function: types.FunctionType) -> Any:
    """A function by reference where its module shows it under its name, else by value.

    One of the session's goes by value wherever it is shown: `functools.wraps` gives it the name of what it replaces.
    """
    names = function.__globals__
    if names is not pickler.namespace and has_address(function, function.__module__, function.__qualname__):
        return NotImplemented
    code = function.__code__
    pickler.filenames.add(code.co_filename)
    owner, module = _home(pickler, names)
    cells = function.__closure__
    state = _deviations(function, code, module)
    args: tuple[Any, ...] = (pickler.codes.blob(code), owner)
    if cells:
        pickler.announced.update(map(id, cells))
        state["cells"] = tuple(map(_contents, cells))
        args = (*args, cells)
    if state:
        return Rebuilder.function, args, state, None, None, Rebuilder.set_function
    return Rebuilder.function, args


def _home(pickler: Any, names: dict[str, Any]) -> tuple[Any, Any]:
    """What stands for a function's globals, and the `__module__` that it gets when it is made again: the namespace is
    `__main__` until all names are read, and a dict without a module may be empty then."""
    if names is pickler.namespace:
        return names, "__main__"
    owner = globals_owner(names)
    return (names, None) if owner is None else (owner, names.get("__name__"))


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not bound yet, or deleted
        return ()


def _deviations(function: types.FunctionType, code: types.CodeType, module: Any) -> dict[str, Any]:
    """What a fresh function of this code in that module would not have by itself; most functions have nothing."""
    state: dict[str, Any] = {}
    if function.__defaults__ is not None:
        state["__defaults__"] = function.__defaults__
    if function.__kwdefaults__ is not None:
        state["__kwdefaults__"] = function.__kwdefaults__
    if function.__annotations__:
        state["__annotations__"] = function.__annotations__
    if function.__dict__:
        state["__dict__"] = function.__dict__
    if function.__name__ != code.co_name:
        state["__name__"] = function.__name__
    if function.__qualname__ != code.co_qualname:
        state["__qualname__"] = function.__qualname__
    if _HAS_TYPE_PARAMETERS and function.__type_params__:  # type: ignore[attr-defined]
        state["__type_params__"] = function.__type_params__  # type: ignore[attr-defined]
    _note_texts(function, code, module, state)
    return state


def _note_texts(function: types.FunctionType, code: types.CodeType, fresh_module: Any, state: dict[str, Any]) -> None:
    """`__doc__` and `__module__`, either of which may be any object by now."""
    constants = code.co_consts
    docstring = constants[0] if constants and type(constants[0]) is str else None
    found = function.__doc__
    if found is not docstring and (type(found) is not str or found != docstring):
        state["__doc__"] = found
    module = function.__module__
    if module is not fresh_module and (type(module) is not str or module != fresh_module):
        state["__module__"] = module


def reduce_cell(pickler: Any, cell: types.CellType) -> Reduced:
    """A cell: bare when a function fills it, else with its contents."""
    if id(cell) in pickler.announced:
        return Rebuilder.cell, ()
    contents = _contents(cell)
    if not contents:
        return Rebuilder.cell, ()
    return Rebuilder.cell, (), contents[0], None, None, Rebuilder.set_cell


def reduce_method(pickler: Any, method: types.MethodType) -> Reduced:
    """A bound method as the pair that it is; looking it up by name could find another one, or none yet."""
    return Rebuilder.method, (method.__func__, method.__self__)
