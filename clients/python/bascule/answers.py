"""What the server answers to questions about a session, as values. What a later server adds is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Completion:
    """One thing that may stand at the cursor: `text` goes in place of the characters from `start` to `end`."""

    text: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a name stands for; `found` is False when it stands for nothing."""

    found: bool
    name: str = ""
    type: str = ""
    signature: str = ""
    docstring: str = ""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether a piece of code can be run: `complete`, `incomplete` (with the next line's `indent`) or `invalid`."""

    status: str
    indent: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A name of the session. `size`: bytes without contents; `kept`: it is in the last checkpoint."""

    name: str
    type: str
    size: int | None
    repr: str
    kept: bool


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of the journal; `at` is Unix seconds, `cursors` its first and last event."""

    seq: int
    id: str
    type: str
    principal: str
    at: float
    cursors: list[str] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str | None:
        """What was run, for an eval."""
        return self.body.get("code")


@dataclass(frozen=True, slots=True)
class Rewound:
    """A rewind: commit `seq`, with the state of seq `to`; `unsaved`: names that could not be brought back, and why."""

    seq: int
    to: int
    etag: str = ""
    unsaved: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pin:
    """A state that is kept under a name for as long as its session."""

    name: str
    seq: int
    etag: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A session (its id) that began with the state `seq` of the session `origin`."""

    session: str
    seq: int
    origin: str = ""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or folder. `kind`: `file`, `folder`, `link` or `other`; `size` in bytes; `modified`: Unix seconds."""

    kind: str
    size: int
    modified: float
    name: str = ""


Answer = TypeVar("Answer")


def answer_of(kind: type[Answer], said: Mapping[str, Any]) -> Answer:
    """From the wire."""
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: value for name, value in said.items() if name in known})
