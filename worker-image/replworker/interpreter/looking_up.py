"""Finds what a dotted expression in front of a cursor means, without calling anything in it."""

from __future__ import annotations

import builtins
import re

from replwire.hints import Any, Final

CHAIN: Final = re.compile(r"[^\W\d]\w*(?:\s*\.\s*[^\W\d]\w*|\[\s*(?:'[^'\\\n]*'|\"[^\"\\\n]*\"|-?\d+)\s*\])*")
"""Names, attributes, and subscripts that are a literal."""

_STEP: Final = re.compile(r"\.?\s*([^\W\d]\w*)|\[\s*(?:'([^'\\\n]*)'|\"([^\"\\\n]*)\"|(-?\d+))\s*\]")


class NotFound(Exception):
    """The expression names nothing that is there."""


def resolve(expression: str, namespace: dict[str, Any]) -> Any:
    """The object. Runs the tenant's `__getattr__` and `__getitem__`; raises `NotFound`."""
    found: Any = None
    is_first = True
    for step in _STEP.finditer(expression):
        name, single, double, index = step.groups()
        try:
            if is_first:
                found = namespace[name] if name in namespace else vars(builtins)[name]
            elif name is not None:
                found = getattr(found, name)
            else:
                key: Any = int(index) if index is not None else single if single is not None else double
                found = _item(found, key)
        except KeyboardInterrupt:
            raise
        except BaseException:
            raise NotFound(expression) from None
        is_first = False
    if is_first:
        raise NotFound(expression)
    return found


def _item(container: Any, key: Any) -> Any:
    # Only containers whose look-up runs nothing and makes nothing (a defaultdict would).
    if type(container) in (dict, list, tuple):
        return container[key]
    raise NotFound(str(key))


def expression_before(text: str) -> str:
    """The longest such expression that ends where the text does; empty when there is none."""
    for match in CHAIN.finditer(text):
        if match.end() == len(text):
            return match.group()
    return ""
