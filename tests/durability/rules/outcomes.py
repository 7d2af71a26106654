"""Rules about what clients were told, against each other and against the state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..history import History
from .finding import Acknowledged, Finding, acknowledged, appends, eras, observed, regresses, sessions

NOT_STARTED: Final = frozenset({"store_unavailable", "busy", "capacity", "cancelled", "rate_limited"})
"""Errors that say: nothing was started."""

UNDONE: Final = frozenset(
    {"worker_died", "worker_crashed", "worker_unresponsive", "memory_limit", "rolled_back", "timeout"}
)
"""Errors that say: it has no effect on the state that comes back."""

UNSURE: Final = frozenset({"draining", "outcome_unknown", "session_regressed"})
"""Errors that say that they don't know, or that what was told before does not hold."""


def disagrees(history: History) -> Iterator[Finding]:
    """The value that an eval answered with, its length of the list, is its place in the list."""
    for session, names, _ in observed(history):
        if regresses(history, session):
            continue
        place = {id_: index + 1 for index, id_ in enumerate(names)}
        for item in history.operations_of(session):
            outcome, id_ = item["outcome"], item["id"]
            told = outcome.get("output") if outcome["state"] == "committed" and appends(id_) else None
            if told is not None and id_ in place and told != str(place[id_]):
                yield Finding("disagrees", session, f"{id_} answered {told} and is number {place[id_]} of the list")


def undone(history: History) -> Iterator[Finding]:
    """What was said to have had no effect is not there, unless an end of the same id is not known or is another."""
    for session, names, _ in observed(history):
        attempts: dict[str, list[dict[str, Any]]] = {}
        for item in history.operations_of(session):
            attempts.setdefault(item["id"], []).append(item["outcome"])
        for id_ in names:
            told = attempts.get(id_, [])
            if told and all(item.get("code") in NOT_STARTED | UNDONE for item in told):
                yield Finding("undone", session, f"{id_} was answered {told[-1]['code']} and is in the list")


def sequence(history: History) -> Iterator[Finding]:
    """A number belongs to one eval, an eval has one number, and later evals have larger ones."""
    for session in sessions(history):
        for era in eras(history, session):
            yield from _one_to_one(session, era)
            yield from _in_time(history, session, era)


def _one_to_one(session: str, era: Acknowledged) -> Iterator[Finding]:
    owners: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for id_, outcome, _ in era:
        seq = outcome["seq"]
        if owners.setdefault(seq, id_) != id_:
            yield Finding("sequence", session, f"{id_} and {owners[seq]} are both number {seq}")
        if numbers.setdefault(id_, seq) != seq:
            yield Finding("sequence", session, f"{id_} was number {numbers[id_]} and then {seq}")


def _in_time(history: History, session: str, era: Acknowledged) -> Iterator[Finding]:
    """What was first sent when another one had its number already has a larger one."""
    sent: dict[str, int] = {}
    for item in history.operations_of(session):
        sent[item["id"]] = min(item["begin"], sent.get(item["id"], item["begin"]))
    highest, owner, heard = 0, "", 0
    for id_, outcome, _ in sorted(era, key=lambda item: sent[item[0]]):
        while heard < len(era) and era[heard][2] < sent[id_]:
            if era[heard][1]["seq"] > highest:
                highest, owner = era[heard][1]["seq"], era[heard][0]
            heard += 1
        if outcome["seq"] <= highest:
            words = f"{id_} is number {outcome['seq']}, and was sent when {owner} was {highest} already"
            yield Finding("sequence", session, words)


def etags(history: History) -> Iterator[Finding]:
    """One chain: no number ever has two etags."""
    for session in sessions(history):
        pieces = [[(outcome["seq"], outcome["etag"]) for _, outcome, _ in era] for era in eras(history, session)]
        pieces[-1] += [(item["seq"], item["etag"]) for item in history.observations if item["session"] == session]
        for piece in pieces:
            yield from _one_etag(session, piece)


def _one_etag(session: str, told: list[tuple[int, str]]) -> Iterator[Finding]:
    seen: dict[int, str] = {}
    for seq, etag in told:
        if etag and seen.setdefault(seq, etag) != etag:
            yield Finding("two_etags", session, f"number {seq} has the etags {seen[seq]} and {etag}")


def durable(history: History) -> Iterator[Finding]:
    """Nothing is called committed that the store does not have.

    A label may be weaker than the truth: a front door that finds an outcome in a store of which it knows nothing yet
    says `memory`.
    """
    for session in sessions(history):
        for id_, outcome, _ in acknowledged(history, session):
            if outcome["durable"] not in ("fsync", "memory"):
                yield Finding("not_durable", session, f"{id_} was acknowledged with durable: {outcome['durable']}")


def answered(history: History) -> Iterator[Finding]:
    """Every request ends, once."""
    for item in history.operations:
        if item["outcome"]["state"] == "unanswered":
            yield Finding("unanswered", item["session"], f"{item['id']} got no answer, and its connection stayed")
    for item in history.events:
        if item["type"] == "answer":
            yield Finding("answered_twice", item["session"], f"{item['id']} got one more answer")


def refused(history: History) -> Iterator[Finding]:
    """No error but those that such faults may cause."""
    known = NOT_STARTED | UNDONE | {"draining", "outcome_unknown"} | history.allows
    for item in history.operations:
        code = item["outcome"].get("code")
        if code is not None and code not in known:
            yield Finding("refused", item["session"], f"{item['id']} was answered {code}")
