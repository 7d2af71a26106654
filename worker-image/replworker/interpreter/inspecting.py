"""`inspect` and `variables`: what a name stands for."""

from __future__ import annotations

import re
import sys
from types import FunctionType

from replwire.hints import Any, Final
from replworker.interpreter.looking_up import CHAIN, NotFound, resolve

VARIABLES_MAX: Final = 1000
REPR_CHARS_MAX: Final = 120
SOURCE_CHARS_MAX: Final = 64 * 1024
DOCSTRING_CHARS_MAX: Final = 64 * 1024

NOTHING: Final = {"found": False}

_DUNDER: Final = re.compile(r"__\w+__")
_TEXT: Final = re.compile(r"(\"{3}|'{3})(?s:\\.|.)*?(?:\1|\Z)|([\"'])(?s:\\.|[^\\\n])*?(?:\2|$)|#.*", re.MULTILINE)
"""A literal of text, up to where it ends or breaks off; or a comment."""


def inspected(code: str, cursor: int, detail: int, namespace: dict[str, Any]) -> dict[str, Any]:
    """Signature, docstring, type and, with `detail` 1, source of what stands at the cursor, or is called there."""
    name = _name_at(code, max(0, min(cursor, len(code))))
    try:
        found = resolve(name, namespace)
    except NotFound:
        return dict(NOTHING)
    import inspect

    told: dict[str, Any] = {
        "found": True,
        "name": name,
        "type": type(found).__name__,
        "signature": _signature(inspect, found, name),
        "docstring": (_quietly(inspect.getdoc, found) or "")[:DOCSTRING_CHARS_MAX],
    }
    if detail:
        source = _quietly(inspect.getsource, found)
        if source is None and isinstance(found, type):
            source = _quietly(_source_of_class, found)
        told["source"] = (source or "")[:SOURCE_CHARS_MAX] or None
    return told


def _name_at(code: str, cursor: int) -> str:
    """The expression under the cursor; else the one whose call the cursor is in; else nothing."""
    plain = _TEXT.sub(lambda text: " " * len(text.group()), code)
    for match in CHAIN.finditer(code):
        if match.start() <= cursor <= match.end() and plain[match.start()] != " ":
            return _cut_at(match.group(), cursor - match.start())
    called = _call_around(plain, cursor)
    matches = [match.group() for match in CHAIN.finditer(code[:called]) if match.end() == called]
    return matches[0] if matches else ""


def _cut_at(chain: str, offset: int) -> str:
    """`a.b.c` with the cursor in `b` means `a.b`."""
    end = next((match.end() for match in re.finditer(r"\w+\]?", chain) if match.end() >= offset), len(chain))
    return chain[:end]


def _call_around(code: str, cursor: int) -> int:
    """Where the innermost open parenthesis before the cursor is; 0 when there is none."""
    depth = 0
    for position in range(cursor - 1, -1, -1):
        if code[position] in ")]}":
            depth += 1
        elif code[position] in "([{":
            depth -= 1
            if depth < 0:
                return position
    return 0


def _signature(inspect: Any, found: object, name: str) -> str:
    if not callable(found):
        return ""
    made = _quietly(inspect.signature, found)
    return f"{name.rpartition('.')[2]}{made}" if made is not None else ""


def _source_of_class(kind: type) -> str | None:
    """Of a class of the session: `inspect` looks in its module's file, and `__main__` has none. Its functions know."""
    import ast
    import linecache

    codes = [member.__code__ for member in vars(kind).values() if isinstance(member, FunctionType)]
    for code in codes:
        lines = linecache.getlines(code.co_filename)
        for node in ast.walk(ast.parse("".join(lines))):
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__ and _holds(node, code.co_firstlineno):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno])
    return None


def _holds(node: Any, line: int) -> bool:
    return bool(node.lineno <= line <= node.end_lineno)


def _quietly(look: Any, found: object) -> Any:
    try:
        return look(found)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def variables(
    prefix: str, namespace: dict[str, Any], unsaved: dict[str, str], *, is_kept: bool | None
) -> dict[str, Any]:
    """`{"variables": [{name, type, size, repr, kept}, …], "more": n}`, by name. `size` in bytes, without contents;
    `is_kept`: whether there is a checkpoint, None while that of the last eval is being taken.
    """
    names = sorted(name for name in namespace if isinstance(name, str) and name.startswith(prefix))
    names = [name for name in names if not _DUNDER.fullmatch(name)]
    kept = {name: is_kept and name not in unsaved for name in names[:VARIABLES_MAX]}
    shown = [_variable(name, namespace[name], kept[name]) for name in kept]
    return {"variables": shown, "more": max(0, len(names) - VARIABLES_MAX)}


def _variable(name: str, value: object, kept: bool | None) -> dict[str, Any]:
    size = getattr(value, "nbytes", None) if type(value).__module__.startswith("numpy") else None
    size = size if isinstance(size, int) else _quietly(sys.getsizeof, value)
    return {"name": name, "type": type(value).__name__, "size": size, "repr": _short(value), "kept": kept}


def _short(value: object) -> str:
    text = repr(value[:REPR_CHARS_MAX]) if type(value) in (str, bytes, list, tuple) else _quietly(repr, value)  # type: ignore[index]
    if not isinstance(text, str):
        return f"<{type(value).__name__}, whose repr fails>"
    return text if len(text) <= REPR_CHARS_MAX else text[: REPR_CHARS_MAX - 1] + "…"
