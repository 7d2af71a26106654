"""What each setting means, read from the sources: the text below a field is its documentation, and written once."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from orchestrator import settings
from orchestrator.auth.jwt_config import JwtConfig
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.engine.configuration import EngineConfig
from orchestrator.transports.configuration import ChannelConfig, HttpConfig

# Sections that are made from a frozen value of another module, which has the words.
_MADE_FROM: Final[dict[str, type]] = {
    "server": HttpConfig, "channel": ChannelConfig, "engine": EngineConfig, "sandbox": SandboxSpec,
}  # fmt: skip


@cache
def meanings() -> dict[str, str]:
    """By dotted name; fields without words are left out."""
    found = dict(_fields("", settings.Settings))
    for section, item in settings.Settings.model_fields.items():
        kind = _MADE_FROM.get(section, item.annotation)
        if isinstance(kind, type) and (section in _MADE_FROM or issubclass(kind, BaseModel)):
            found |= dict(_fields(f"{section}.", kind))
    found |= dict(_fields("auth.jwt.", JwtConfig))
    return found


def _fields(prefix: str, kind: Any) -> Iterator[tuple[str, str]]:
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    for field, words in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant) and isinstance(words.value.value, str):
            yield prefix + field.target.id, words.value.value
