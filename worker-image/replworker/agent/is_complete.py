"""`is_complete`: whether source text is a whole input. Compiles, runs nothing; answered by the agent at once."""

from __future__ import annotations

from replwire.hints import Any, Final
from replworker.plain_json import from_json

_INDENT: Final = "    "
_DONT_IMPLY_DEDENT: Final = 0x200
_ALLOW_INCOMPLETE_INPUT: Final = 0x4000
"""Flags of `compile` as `codeop` has them (cpython: Include/cpython/compile.h)."""

_SOURCE_CHARS_MAX: Final = 1024 * 1024
"""Longer text is not looked at; the front door refuses it long before (`code_bytes_max`)."""


def is_complete(body: bytes) -> dict[str, Any]:
    """The reply to a request whose payload is `body`; raises `ValueError` for a body that is not as agreed."""
    source = from_json(body).get("code")
    if not isinstance(source, str) or len(source) > _SOURCE_CHARS_MAX:
        raise ValueError("a payload without source text")
    status = _status(source)
    return {"status": status, "indent": _next_indent(source)} if status == "incomplete" else {"status": status}


def _status(source: str) -> str:
    # Imported here: most sessions never ask, and memory per session counts.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            block = _last_block(source)
        except SyntaxError as error:
            return "incomplete" if "incomplete input" in str(error) else "invalid"
        except (ValueError, OverflowError, RecursionError, MemoryError):
            return "invalid"
    # More of a block may follow until an empty line ends it.
    return "incomplete" if block and source[-1:] != "\n" and block.end_lineno != block.lineno else "complete"


def _last_block(source: str) -> Any:
    """The last statement, if it has a body; raises `SyntaxError` with "incomplete input" for what has no end yet."""
    import ast

    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(source, "<input>", "exec", flags)
    except SyntaxError:
        # Again with words for what has no end yet; these flags alone want a newline behind each block.
        flags |= _ALLOW_INCOMPLETE_INPUT | _DONT_IMPLY_DEDENT
        tree = compile(source + "\n", "<input>", "exec", flags)
    return tree.body[-1] if tree.body and hasattr(tree.body[-1], "body") else None


def _next_indent(source: str) -> str:
    line = source.rstrip("\n").rsplit("\n", 1)[-1]
    indent = line[: len(line) - len(line.lstrip())]
    opens = line.rstrip().endswith(":") or line.partition("#")[0].rstrip().endswith(":")
    return indent + _INDENT if opens else indent
