"""`bascule config show`: every setting in force, and where its value came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bascule.terminal.tables import table
from orchestrator.setting_variables import variable_of
from orchestrator.settings import Settings, names

Sources = Sequence[tuple[str, Mapping[str, Any]]]

MASK = "********"


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting. `origin`: `flag`, `environment` with the variable, `file` or `default`."""

    name: str
    value: Any
    origin: str


def shown_settings(loaded: Settings, sources: Sources) -> Iterator[Shown]:
    """All of them by name; secrets masked."""
    values = loaded.model_dump()
    values["limits"] = loaded.all_limits()
    seen = set()
    for full in names():
        # A list of tables is one setting, whatever its tables hold.
        name, value = _look_up(values, full)
        if name not in seen:
            seen.add(name)
            yield Shown(name, _plain(value), _origin(name, sources))


def as_text(settings: Sequence[Shown], *, with_origin: bool, as_json: bool) -> str:
    """For people, or for programs."""
    if as_json:
        left_out = () if with_origin else ("origin",)
        return json.dumps([{k: v for k, v in asdict(item).items() if k not in left_out} for item in settings])
    columns = 3 if with_origin else 2
    rows = [(item.name, _words(item.value), item.origin)[:columns] for item in settings]
    return table(("setting", "value", "origin")[:columns], rows)


def _look_up(values: Mapping[str, Any], name: str) -> tuple[str, Any]:
    found: Any = values
    parts = name.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(found, Mapping):
            return ".".join(parts[:depth]), found
        found = found[part]
    return name, found


def _origin(name: str, sources: Sources) -> str:
    for source, said in sources:
        if _says(said, name.split(".")):
            return f"environment {_variable(name)}" if source == "environment" else source
    return "default"


def _says(said: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(said, Mapping) or part not in said:
            return False
        said = said[part]
    return True


def _variable(name: str) -> str:
    """The one that is there: its own, the one of its file, or a section's as JSON."""
    own = variable_of(name)
    known = {word.upper(): word for word in os.environ}
    candidates = (own, f"{own}_FILE", own.rpartition("__")[0])
    return next((known[word] for word in candidates if word in known), own)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _words(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
