"""The reviewed table of what is left out and what may differ. It does not grow on its own: an entry that nothing
needed is reported, and an example that is in no entry has failed.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("reasons.toml")

OWN_RUNNER: Final = "python-differs-too"
"""The reason that needs no entry: Python's own runner, in the same kind of sandbox, does not get it either."""

UNSAVED: Final = "unsaved"
"""The reason of what reaches a name that was told as `unsaved` and went with its worker; it needs no entry either."""

WITHOUT_ENTRY: Final = {
    OWN_RUNNER: "Python's own doctest runner does not get it in the same sandbox either",
    UNSAVED: "it reaches a name that was told as `unsaved` before its worker was killed",
}
"""For the report."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why examples may differ, and which. `examples` are patterns of `doctest#index`."""

    name: str
    why: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """All of it."""

    left_out: Mapping[str, str]
    """Why a module is not run, by a pattern of its name."""
    flags: Mapping[str, tuple[str, ...]]
    """The option flags that a module's own test gives to doctest, by module."""
    reasons: tuple[Reason, ...]
    under_fire: tuple[Reason, ...] = ()
    """Those that count only when workers are killed meanwhile."""

    def for_fire(self) -> Table:
        """The table of a run in which workers are killed."""
        return replace(self, reasons=self.reasons + self.under_fire)

    def why_left_out(self, module: str) -> str | None:
        """The reason, or None for a module that runs."""
        return next((why for pattern, why in self.left_out.items() if fnmatch.fnmatchcase(module, pattern)), None)

    def reason_of(self, example: str) -> Reason | None:
        """For an example that differs."""
        return next((reason for reason in self.reasons if _matches(reason, example)), None)

    def unneeded(self, differing: Iterable[str], ran: Iterable[str]) -> list[str]:
        """Patterns whose doctest ran, and that no differing example matched."""
        doctests = {name.partition("#")[0] for name in ran}
        names = list(differing)
        patterns = [pattern for reason in self.reasons for pattern in reason.examples]
        return [item for item in patterns if _any(doctests, item.partition("#")[0]) and not _any(names, item)]


def _any(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _matches(reason: Reason, example: str) -> bool:
    return any(fnmatch.fnmatchcase(example, pattern) for pattern in reason.examples)


def load(file: Path = FILE) -> Table:
    """The table of a TOML file."""
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    return Table(
        left_out={item["modules"]: item["why"] for item in data["left_out"]},
        flags={item["module"]: tuple(item["flags"]) for item in data["flags"]},
        reasons=_reasons(data["reasons"]),
        under_fire=_reasons(data.get("under_fire", ())),
    )


def _reasons(items: Iterable[Mapping[str, Any]]) -> tuple[Reason, ...]:
    return tuple(Reason(item["name"], item["why"], tuple(item["examples"])) for item in items)
