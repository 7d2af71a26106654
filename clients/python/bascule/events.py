"""What happens while an eval runs and in the life of a session, as typed values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bascule.results import Result
from replwire.cursors import Cursor, parse_cursor
from replwire.errors import WireError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have."""

    request: str | None = None
    """Id of the eval that it belongs to."""
    cursor: str | None = None
    """Its place in the session's events; None for those that have none."""


@dataclass(frozen=True, slots=True)
class Stdout(Event):
    """Text written to standard output."""

    text: str


@dataclass(frozen=True, slots=True)
class Stderr(Event):
    """Text written to standard error."""

    text: str


@dataclass(frozen=True, slots=True)
class Display(Event):
    """`display()` was called."""

    result: Result
    update: bool = False
    """It replaces the one with the same `result.display_id`."""


@dataclass(frozen=True, slots=True)
class ClearOutput(Event):
    """`clear_output()` was called."""

    wait: bool = False
    """Clear when the next output comes."""


@dataclass(frozen=True, slots=True)
class InputRequest(Event):
    """`input()` or `getpass()` waits for an answer."""

    prompt: str
    password: bool = False
    """Do not echo what is typed."""


@dataclass(frozen=True, slots=True)
class Status(Event):
    """What the session is doing: `starting`, `ready`, `busy`, `idle`, `restoring`, `parked` or `closing`."""

    status: str
    cause: str | None = None
    percent: float | None = None
    position: int | None = None
    """Place in the queue for a worker."""
    unsaved: dict[str, str] = field(default_factory=dict)
    """After a restore: names that could not be brought back, with reasons."""


@dataclass(frozen=True, slots=True)
class RolledBack(Event):
    """The worker was lost: what was told live after eval `to` did not happen."""

    to: int
    cause: str
    generation: int


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """A result that went out as `kept` is committed now."""

    target: str
    seq: int
    etag: str | None
    durable: str


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """Events after cursor `first`, up to `last`, are no longer kept anywhere."""

    first: str
    last: str


@dataclass(frozen=True, slots=True)
class GoingAway(Event):
    """This front door ends; the client connects again by itself."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The connection was lost; the client tries to have it back by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reconnected(Event):
    """The connection was lost and is back."""

    seconds: float
    """How long it was away."""


def _stream(said: Json, common: Json) -> Event:
    kind = Stderr if said.get("name") == "stderr" else Stdout
    return kind(str(said.get("text", "")), **common)


def _display(said: Json, common: Json) -> Event:
    result = Result(said.get("data") or {}, said.get("metadata") or {}, display_id=said.get("display_id"))
    return Display(result, bool(said.get("update")), **common)


def _status(said: Json, common: Json) -> Event:
    return Status(
        str(said.get("status", "")), said.get("cause"), said.get("percent"), said.get("position"),
        said.get("unsaved") or {}, **common,
    )  # fmt: skip


def _committed(said: Json, common: Json) -> Event:
    return Committed(str(said["target"]), int(said["seq"]), said.get("etag"), str(said.get("durable", "")), **common)


_READERS: Final[dict[str, Callable[[Json, Json], Event]]] = {
    "stream": _stream,
    "display": _display,
    "clear_output": lambda said, common: ClearOutput(bool(said.get("wait")), **common),
    "input_request": lambda said, common: InputRequest(
        str(said.get("prompt", "")), bool(said.get("password")), **common
    ),
    "status": _status,
    "rolled_back": lambda said, common: RolledBack(
        int(said["to"]), str(said.get("cause", "")), int(said.get("generation", 0)), **common
    ),
    "committed": _committed,
    "gap": lambda said, common: Gap(str(said["from"]), str(said["to"]), **common),
    "going_away": lambda said, common: GoingAway(float(said.get("retry_after_ms", 0)) / 1000, **common),
}


def event_of(envelope: Json) -> Event | None:
    """An event's envelope as a value; None for a type that a later server added. Raises on a malformed one."""
    reader = _READERS.get(str(envelope.get("type")))
    said = envelope.get("payload")
    if reader is None or not isinstance(said, dict):
        return None
    return reader(said, {"request": envelope.get("id"), "cursor": envelope.get("cursor")})


def place_of(cursor: str | None) -> Cursor | None:
    """A cursor as something to compare; None for one that is none of this generation of the protocol."""
    try:
        return parse_cursor(cursor) if cursor else None
    except WireError:
        return None
