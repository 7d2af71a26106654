"""Histories: what a campaign's clients did and saw, and what was found at the end, as JSON lines.

One object a line, told apart by `record`:

- `header`: first. `version`, `campaign`, `seed`, `allows` (errors that are promised to be possible here).
- `operation`: one request sent once. `client`, `session`, `connection`, `id`, `begin` and `end` (monotonic nanoseconds,
  of the one clock of the campaign), and `outcome`, as the client saw it. Its `state` is `committed`, `kept`, `error`
  (with `code`), `lost` (the connection ended first) or `unanswered` (it did not, and no answer came in time). Sent
  again, it is a new operation.
- `event`: what came by itself, in order. `type` is `cursor` (with `cursor`, of an event of the session), `committed`,
  `rolled_back` (with `to`, and `attaching`: told on the way back, before the answer to `attach`), `gap`, `answer` (a
  terminal to a request that had one on this connection), or `regressed` (the client came back, and asked: the store has
  no more what it was told of).
- `fault`: what was done to the servers, and when. No rule needs it; it tells the reader.
- `observation`: after the faults, one for each session. `list` and `counter` of its namespace, the lines of its `file`,
  how many elements of its array are not what the counter says (`wrong_cells`), `journal` as seq and id, `seq` and
  `etag`.
- `end`: last, with the count of the records before it: a file without it is not a whole history.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final

VERSION: Final = 2

_WHO: Final = {"client": str, "session": str, "connection": int}
_FIELDS: Final = {
    "operation": {**_WHO, "id": str, "begin": int, "end": int, "outcome": dict},
    "event": {**_WHO, "at": int, "type": str},
    "fault": {"at": int, "what": str},
    "observation": {
        "session": str, "list": list, "counter": int, "file": list, "wrong_cells": int, "journal": list, "seq": int,
        "etag": str,
    },
}  # fmt: skip
_STATES: Final = frozenset({"committed", "kept", "error", "lost", "unanswered"})


class HistoryError(Exception):
    """A file that is no whole history; the message says where and why."""


@dataclass
class History:
    """One that was read: each record as it stands in the file."""

    header: Mapping[str, Any]
    operations: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    observations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def allows(self) -> frozenset[str]:
        """Errors that the campaign makes possible on purpose."""
        return frozenset(self.header.get("allows", ()))

    def operations_of(self, session: str) -> list[dict[str, Any]]:
        """In the order of their ends."""
        return self._by_session[session][0]

    def events_of(self, session: str) -> list[dict[str, Any]]:
        """As they came."""
        return self._by_session[session][1]

    @cached_property
    def _by_session(self) -> Mapping[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        found: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = defaultdict(lambda: ([], []))
        for item in sorted(self.operations, key=lambda item: item["end"]):
            found[item["session"]][0].append(item)
        for item in self.events:
            found[item["session"]][1].append(item)
        return found


class Recorder:
    """Writes a history while it happens; each line is complete when a method returns."""

    def __init__(self, path: Path, campaign: str, seed: int, allows: Iterable[str] = ()) -> None:
        self.path = path
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._count = 0
        self._write({"record": "header", "version": VERSION, "campaign": campaign, "seed": seed, "allows": [*allows]})

    def add(self, record: str, **fields: Any) -> None:
        """One more record; its fields are in the table above."""
        self._write({"record": record, **fields})

    def close(self) -> None:
        """The history is whole."""
        self._write({"record": "end", "count": self._count})
        self._file.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._count += 1


def read_history(path: Path) -> History:
    """Raises `HistoryError`, also for a file that is empty or was cut."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"{path}: {error}") from None
    records = [_record(number, line) for number, line in enumerate(lines, 1)]
    if not records or records[0].get("record") != "header" or records[0].get("version") != VERSION:
        raise HistoryError(f"{path}: it does not begin with a header of version {VERSION}")
    if records[-1] != {"record": "end", "count": len(records) - 1}:
        raise HistoryError(f"{path}: its end is missing, or says another count: it is not whole")
    history = History(records[0])
    lists = {"operation": history.operations, "event": history.events, "fault": history.faults}
    lists["observation"] = history.observations
    for number, record in enumerate(records[1:-1], 2):
        _check(number, record)
        lists[record["record"]].append(record)
    return history


def _record(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        raise HistoryError(f"line {number} is no JSON") from None
    if not isinstance(found, dict):
        raise HistoryError(f"line {number} is no object")
    return found


def _check(number: int, record: Mapping[str, Any]) -> None:
    kind = record.get("record")
    if kind not in _FIELDS:
        raise HistoryError(f"line {number}: there is no record {kind!r}")
    for name, wanted in _FIELDS[kind].items():
        if not isinstance(record.get(name), wanted):
            raise HistoryError(f"line {number}: the field {name!r} of a record {kind!r} is missing or of another kind")
    if kind == "operation":
        _check_outcome(number, record["outcome"])


def _check_outcome(number: int, outcome: Mapping[str, Any]) -> None:
    if outcome.get("state") not in _STATES:
        raise HistoryError(f"line {number}: no outcome has the state {outcome.get('state')!r}")
    wanted = {"committed": ("seq", "etag", "durable"), "error": ("code",)}.get(outcome["state"], ())
    if any(name not in outcome for name in wanted):
        raise HistoryError(f"line {number}: an outcome {outcome['state']!r} has {', '.join(wanted)}")
