"""`complete`: what may stand at the cursor, from what is there. Attributes, keys, names, imports, paths."""

from __future__ import annotations

import builtins
import keyword
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

from replwire.hints import Any, Final
from replworker.interpreter.looking_up import NotFound, expression_before, resolve

MATCHES_MAX: Final = 500

_IMPORT: Final = re.compile(r"^\s*import\s+(?:[\w.]+(?:\s+as\s+\w+)?\s*,\s*)*([\w.]*)$")
_FROM: Final = re.compile(r"^\s*from\s+([\w.]*)$")
_FROM_IMPORT: Final = re.compile(r"^\s*from\s+([\w.]+)\s+import\s+\(?(?:\w+(?:\s+as\s+\w+)?\s*,\s*)*(\w*)$")
_ATTRIBUTE: Final = re.compile(r"(.*?)\s*\.\s*(\w*)$", re.DOTALL)
_KEY: Final = re.compile(r"(.*)\[\s*(['\"])([^'\"\\\n]*)$", re.DOTALL)
_NAME: Final = re.compile(r"\w*$")

Match = dict[str, Any]


class Completer:
    """Completes in one namespace and one working folder."""

    def __init__(self, namespace: dict[str, Any], work_folder: str) -> None:
        self._namespace = namespace
        self._work_folder = work_folder

    def complete(self, code: str, cursor: int) -> dict[str, Any]:
        """`{"matches": [{text, kind, start, end}, …]}`: the text goes in place of characters `start` to `end`."""
        cursor = max(0, min(cursor, len(code)))
        before = code[:cursor]
        line = before.rsplit("\n", 1)[-1]
        matches: list[Match] = []
        for text, kind, length in self._candidates(before, line):
            matches.append({"text": text, "kind": kind, "start": cursor - length, "end": cursor})
            if len(matches) >= MATCHES_MAX:
                break
        return {"matches": matches}

    def _candidates(self, before: str, line: str) -> Iterator[tuple[str, str, int]]:
        if found := _IMPORT.match(line) or _FROM.match(line):
            yield from _with_length(_modules(found[1]), found[1].rpartition(".")[2])
        elif found := _FROM_IMPORT.match(line):
            yield from _with_length(_members(found[1], found[2]), found[2])
        elif (quote := _open_string(line)) is not None:
            yield from self._in_string(line, line[quote + 1 :])
        else:
            yield from self._names(before)

    def _in_string(self, line: str, text: str) -> Iterator[tuple[str, str, int]]:
        keyed = _KEY.match(line)
        if keyed and (expression := expression_before(keyed[1])):
            keys = ((_escaped(key, keyed[2]), kind) for key, kind in self._keys(expression, keyed[3]))
            yield from _with_length(keys, keyed[3])
        else:
            yield from _with_length(self._paths(text), text.rpartition("/")[2])

    def _names(self, before: str) -> Iterator[tuple[str, str, int]]:
        if attribute := _ATTRIBUTE.match(before):
            # Of what can't be looked up without calling it, nothing is known; names of the namespace are none of its.
            expression = expression_before(attribute[1])
            yield from _with_length(self._attributes(expression, attribute[2]), attribute[2])
            return
        found = _NAME.search(before)
        prefix = found[0] if found else ""
        if not prefix[:1].isdigit():
            yield from _with_length(self._visible(prefix), prefix)

    def _visible(self, prefix: str) -> Iterator[tuple[str, str]]:
        for name in _sorted(self._namespace, prefix):
            yield name, _kind(self._namespace[name])
        for name in _sorted(vars(builtins), prefix):
            if name not in self._namespace:
                yield name, _kind(getattr(builtins, name))
        if prefix:
            yield from ((name, "keyword") for name in _sorted((*keyword.kwlist, *keyword.softkwlist), prefix))

    def _attributes(self, expression: str, prefix: str) -> Iterator[tuple[str, str]]:
        try:
            owner = resolve(expression, self._namespace)
        except NotFound:
            return
        for name in _sorted(_dir(owner), prefix):
            # The value of a property is not asked for: it would run code for every name.
            yield name, _kind(_static(owner, name))

    def _keys(self, expression: str, prefix: str) -> Iterator[tuple[str, str]]:
        try:
            owner = resolve(expression, self._namespace)
        except NotFound:
            return
        keys: Iterable[Any] = owner if isinstance(owner, Mapping) else getattr(owner, "columns", ())
        yield from ((key, "key") for key in _sorted((key for key in keys if isinstance(key, str)), prefix))

    def _paths(self, text: str) -> Iterator[tuple[str, str]]:
        folder, _, prefix = text.rpartition("/")
        place = os.path.join(self._work_folder, folder) if not text.startswith("/") else folder or "/"
        try:
            with os.scandir(place) as entries:
                found = {entry.name: entry.is_dir() for entry in entries if entry.name.startswith(prefix)}
        except (OSError, ValueError):
            return
        for name in sorted(found):
            if prefix or not name.startswith("."):
                yield (name + "/", "folder") if found[name] else (name, "file")


def _with_length(candidates: Iterable[tuple[str, str]], prefix: str) -> Iterator[tuple[str, str, int]]:
    return ((text, kind, len(prefix)) for text, kind in candidates)


def _sorted(names: Iterable[Any], prefix: str) -> list[str]:
    """Those that begin so; private ones only when they were asked for."""
    wanted = (name for name in names if isinstance(name, str) and name.startswith(prefix))
    return sorted({name for name in wanted if prefix.startswith("_") or not name.startswith("_")})


def _dir(owner: object) -> Iterable[Any]:
    try:
        return dir(owner)
    except TypeError:
        # `dir` sorts, and a `__dir__` of the tenant's may return what has no order.
        return type(owner).__dir__(owner)


def _escaped(key: str, quote: str) -> str:
    """As it stands between these quotes. With both in the text, `repr` takes single ones and escapes them."""
    return repr(key + "'\"")[1:-4].replace("\\'", "'").replace(quote, "\\" + quote)


def _open_string(line: str) -> int | None:
    """Where a string begins that has no end on this line; None when the cursor is in none."""
    quote, position = "", -1
    for index, char in enumerate(line):
        if not quote and char == "#":
            return None
        if not quote and char in "'\"":
            quote, position = char, index
        elif char == quote and line[index - 1] != "\\":
            quote = ""
    return position if quote else None


def _static(owner: Any, name: str) -> Any:
    for place in (owner, type(owner), *getattr(type(owner), "__mro__", ())):
        found = getattr(place, "__dict__", {}).get(name)
        if found is not None:
            return found
    return None


def _kind(value: object) -> str:
    if isinstance(value, type):
        return "class"
    if isinstance(value, ModuleType):
        return "module"
    if isinstance(value, property):
        return "property"
    return "function" if callable(value) else "name"


def _modules(text: str) -> Iterator[tuple[str, str]]:
    """Modules whose name goes on from `a.b.pre`."""
    package, _, prefix = text.rpartition(".")
    import pkgutil

    if not package:
        names = {info.name for info in pkgutil.iter_modules()} | set(sys.builtin_module_names) | {"builtins"}
    else:
        names = {info.name for info in pkgutil.iter_modules(_path_of(package))}
    yield from ((name, "module") for name in _sorted(names, prefix))


def _path_of(package: str) -> list[str]:
    """Where a package's modules lie; it is imported only if it was already, or lies at the top."""
    from importlib.util import find_spec

    loaded = sys.modules.get(package)
    try:
        spec = getattr(loaded, "__spec__", None) or find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return []
    return list(getattr(spec, "submodule_search_locations", None) or ())


def _members(module: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Names of a module, as far as it has been imported, and the modules below it."""
    loaded = sys.modules.get(module)
    names = {name: _kind(value) for name, value in vars(loaded).items()} if loaded is not None else {}
    below = {name: "module" for name, _ in _modules(f"{module}.{prefix}")}
    both = below | names
    yield from ((name, both[name]) for name in _sorted(both, prefix))
