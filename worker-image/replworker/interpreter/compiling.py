"""An eval's text as code objects: what is to be executed, and the expression at its end whose value is shown."""

from __future__ import annotations

import _ast
import sys
from types import CodeType

from replwire.hints import Any, Final

_TOP_LEVEL_AWAIT: Final = 0x2000
"""`ast.PyCF_ALLOW_TOP_LEVEL_AWAIT`."""
_ONLY_AST: Final = _ast.PyCF_ONLY_AST

IS_COROUTINE: Final = 0x80 | 0x100 | 0x200
"""`co_flags` of code that has to be awaited: CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR."""

_FUTURES: Final = 0x1FE0000
"""`co_flags` by which `from __future__ import …` shows."""


class Compiler:
    """Remembers `from __future__` imports, which hold for all later evals, as in Python's own prompt."""

    def __init__(self) -> None:
        self._flags = _TOP_LEVEL_AWAIT

    def compile(self, source: str, filename: str, *, wants_value: bool) -> tuple[CodeType | None, CodeType | None]:
        """`(statements, expression)`, either None. Raises what `compile` raises: `SyntaxError`, `ValueError`, …"""
        if wants_value and "\n" not in source and (value := self._expression(source, filename)) is not None:
            return None, value
        tree = self._compiled(source, filename, "exec", _ONLY_AST)
        last = tree.body[-1] if tree.body and wants_value else None
        if not isinstance(last, _ast.Expr) or _is_hidden(source, last):
            return self._statements(tree, filename), None
        del tree.body[-1]
        statements = self._statements(tree, filename) if tree.body else None
        return statements, self._compiled(_ast.Expression(last.value), filename, "eval")

    def _expression(self, source: str, filename: str) -> CodeType | None:
        """What most evals are; `compile` alone, which is several times faster than a tree and its parts."""
        # A text that is indented is an error as a statement and none as an expression.
        if source[:1] in " \t\f":
            return None
        try:
            code: CodeType = self._compiled(source, filename, "eval")
        except SyntaxError:
            return None
        return code

    def _statements(self, tree: Any, filename: str) -> CodeType:
        code: CodeType = self._compiled(tree, filename, "exec")
        self._flags |= code.co_flags & _FUTURES
        return code

    def _compiled(self, source: Any, filename: str, mode: str, flags: int = 0) -> Any:
        return compile(source, filename, mode, flags | self._flags, dont_inherit=True)

    def recall(self, namespace: dict[str, object]) -> None:
        """After a restore: the features that evals before it imported, as far as their names are still there."""
        future: Any = sys.modules.get("__future__")
        if future is not None:
            for name in future.all_feature_names:
                # Restored by value: another object with the same contents.
                found: Any = namespace.get(name)
                if type(found) is future._Feature:
                    self._flags |= found.compiler_flag


def _is_hidden(source: str, last: _ast.Expr) -> bool:
    """Whether a `;` comes after the last expression."""
    if ";" not in source:
        return False
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    end_line = last.end_lineno or last.lineno
    # Columns count bytes of UTF-8.
    rest = lines[end_line - 1].encode("utf-8", "surrogatepass")[last.end_col_offset or 0 :]
    return rest.lstrip().startswith(b";")
