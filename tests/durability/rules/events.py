"""Rules about what came by itself: roll-backs, and the order of numbered events."""

from __future__ import annotations

from collections.abc import Iterator

from ..history import History
from .finding import Acknowledged, Finding, acknowledged, regresses, sessions


def rolled_back(history: History) -> Iterator[Finding]:
    """Nothing acknowledged is rolled back.

    Told to a client that comes back, it means what that one saw of generations up to its cursor's, and it may know more
    by now: whether that still stands is for the rules about the state.
    """
    for session in sessions(history):
        if regresses(history, session):
            continue
        known = acknowledged(history, session)
        for event in history.events_of(session):
            if event["type"] == "rolled_back" and not event["attaching"]:
                yield from _below(known, session, event["to"], event["at"])


def _below(known: Acknowledged, session: str, to: int, told_at: int) -> Iterator[Finding]:
    for id_, outcome, at in known:
        if at < told_at and outcome["seq"] > to:
            words = f"{id_} was acknowledged as {outcome['seq']}, then rolled back to {to}"
            yield Finding("rolled_back", session, words)


def cursor_order(history: History) -> Iterator[Finding]:
    """A client that comes back with its last cursor gets what comes after it: each event later than the one before.

    A store that went back counts generations again, from where it is; the client is told before.
    """
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for event in history.events:
        key = event["session"], event["client"]
        if event.get("cause") == "session_regressed" and "session_regressed" in history.allows:
            last.pop(key, None)
        if event["type"] != "cursor":
            continue
        generation, _, number = event["cursor"].partition(".")
        now = int(generation), int(number)
        if key in last and now <= last[key]:
            words = f"{event['client']} got event {event['cursor']} after {last[key][0]}.{last[key][1]}"
            yield Finding("cursor_order", event["session"], words)
        last[key] = max(now, last.get(key, now))
