"""Which examples may differ because a name went with a worker: those that reach one that was told as `unsaved`. Pure.

A name is reached when an example mentions it, or mentions a name whose binding mentions it, and so on. What an example
that failed for that reason should have bound is lost as well, and what it should have changed: all that the lost name
was made from in this doctest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final, NamedTuple

_BINDERS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Names(NamedTuple):
    """Of one piece of code."""

    mentioned: frozenset[str]
    bound: frozenset[str]
    """All that it binds or deletes, but for what it imports."""


def names_in(source: str) -> Names:
    """Names that code mentions, and those that it binds; none of code that is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return Names(frozenset(), frozenset())
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.name for node in nodes if isinstance(node, _BINDERS)}
    return Names(frozenset(node.id for node in names), frozenset(bound))


class Losses:
    """Of one doctest, example by example."""

    def __init__(self) -> None:
        self._lost: set[str] = set()
        self._made_from: dict[str, frozenset[str]] = {}

    def died(self, unsaved: Iterable[str]) -> None:
        """The worker was killed when the last result had these names."""
        self._lost.update(unsaved)

    def reached(self, source: str) -> list[str]:
        """Lost names that the code reaches, sorted."""
        return sorted(self._closure(names_in(source).mentioned) & self._lost)

    def _closure(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self._made_from.get(name, ()))
        return found

    def ran(self, source: str, *, equal: bool) -> None:
        """The code ran: what it binds is new, or lost with what it needed."""
        names, reached = names_in(source), self.reached(source)
        for name in names.bound:
            self._made_from[name] = names.mentioned - {name}
        if equal or not reached:
            self._lost.difference_update(names.bound)
            return
        # What a library or an import gave is as it was.
        self._lost.update(names.bound, self._closure(reached) & self._made_from.keys())
