"""What a rule finds, and what the rules ask of a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..history import History

SETUP: Final = "setup"
"""Ids that begin so make the list and read it; they append nothing."""

Outcome = Mapping[str, Any]
Acknowledged = list[tuple[str, Outcome, int]]
"""Id, what was told, and when."""


class Finding(NamedTuple):
    """Something wrong: the rule's name, the session, and words for a person."""

    name: str
    session: str
    words: str

    def __str__(self) -> str:
        return f"{self.name}: {self.session}: {self.words}"


def appends(id_: str) -> bool:
    """Whether a request of this id appends it to the list."""
    return not id_.startswith(SETUP)


def sessions(history: History) -> list[str]:
    """Every session that was written to or looked at."""
    named = [item["session"] for item in (*history.operations, *history.observations)]
    return list(dict.fromkeys(named))


def observed(history: History) -> Iterator[tuple[str, Sequence[str], Mapping[str, Any]]]:
    """Session, list and observation."""
    for item in history.observations:
        yield item["session"], item["list"], item


def acknowledged(history: History, session: str) -> Acknowledged:
    """Id, outcome and time of every word that an eval is committed, in the order of hearing it."""
    ids = {item["id"] for item in history.operations_of(session)}
    found = [
        (item["id"], item["outcome"], item["end"])
        for item in history.operations_of(session)
        if item["outcome"]["state"] == "committed"
    ]
    found += [
        (item["target"], item, item["at"])
        for item in history.events_of(session)
        if item["type"] == "committed" and item["target"] in ids
    ]
    return sorted(found, key=lambda item: item[2])


def regresses(history: History, session: str) -> list[int]:
    """When clients heard `session_regressed`, where the campaign allows it."""
    if "session_regressed" not in history.allows:
        return []
    told = [
        item["end"] for item in history.operations_of(session) if item["outcome"].get("code") == "session_regressed"
    ]
    told += [item["at"] for item in history.events_of(session) if item.get("cause") == "session_regressed"]
    return sorted(told)


def eras(history: History, session: str) -> list[Acknowledged]:
    """What was acknowledged, cut in pieces where a client heard that the store had gone back: one chain each."""
    ends = [*regresses(history, session), None]
    found: list[Acknowledged] = [[] for _ in ends]
    for item in acknowledged(history, session):
        found[next(number for number, end in enumerate(ends) if end is None or item[2] < end)].append(item)
    return found
