"""Rules about what was found at the end: the list, the counter, the file, the array, the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from ..history import History
from .finding import SETUP, Finding, acknowledged, appends, observed, regresses, sessions


def observed_sessions(history: History) -> Counter[str]:
    """How often each session was looked at."""
    return Counter(item["session"] for item in history.observations)


def unobserved(history: History) -> Iterator[Finding]:
    """A session that nobody could read at the end, or a history in which nothing happened, proves nothing."""
    counts = observed_sessions(history)
    for session in sessions(history):
        if counts[session] != 1:
            yield Finding("unobserved", session, f"it was read {counts[session]} times at the end, and not once")
    if not any(item["outcome"]["state"] == "committed" for item in history.operations):
        yield Finding("unobserved", "-", "no operation was ever acknowledged")


def lost(history: History) -> Iterator[Finding]:
    """What was acknowledged is in the list, unless it was said, later, that the store went back."""
    for session, names, _ in observed(history):
        there, excused = set(names), max(regresses(history, session), default=0)
        gone = {id_: outcome for id_, outcome, at in acknowledged(history, session)
                if appends(id_) and id_ not in there and at > excused}  # fmt: skip
        for id_, outcome in gone.items():
            yield Finding("lost", session, f"{id_} was acknowledged as {outcome['seq']} and is not in the list")


def doubled(history: History) -> Iterator[Finding]:
    """At most once."""
    for session, names, _ in observed(history):
        for id_, count in Counter(names).items():
            if count > 1:
                yield Finding("doubled", session, f"{id_} is in the list {count} times")


def phantom(history: History) -> Iterator[Finding]:
    """What is in the list was submitted."""
    for session, names, _ in observed(history):
        submitted = {item["id"] for item in history.operations_of(session)}
        for id_ in dict.fromkeys(names):
            if id_ not in submitted:
                yield Finding("phantom", session, f"{id_} is in the list and was never submitted")


def reordered(history: History) -> Iterator[Finding]:
    """The list has what was acknowledged in the order of its numbers, and of time where that decides."""
    for session, names, _ in observed(history):
        place = {id_: index for index, id_ in enumerate(names)}
        known = {id_: outcome["seq"] for id_, outcome, _ in acknowledged(history, session) if id_ in place}
        by_place = sorted(known, key=lambda id_: place[id_])
        for first, second in pairwise(by_place):
            if known[first] >= known[second]:
                words = f"{first} ({known[first]}) stands before {second} ({known[second]})"
                yield Finding("reordered", session, words)
        yield from _against_time(history, session, place)


def _against_time(history: History, session: str, place: dict[str, int]) -> Iterator[Finding]:
    """What was acknowledged before another one was first sent stands before it."""
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    for item in history.operations_of(session):
        begun[item["id"]] = min(item["begin"], begun.get(item["id"], item["begin"]))
    for id_, _, at in acknowledged(history, session):
        ended.setdefault(id_, at)
    latest_begin, latest_id = -1, ""
    for id_ in sorted((id_ for id_ in begun if id_ in place), key=lambda id_: place[id_]):
        if ended.get(id_, latest_begin) < latest_begin:
            yield Finding("reordered", session, f"{id_} stands after {latest_id}, which was sent after its answer")
        if begun[id_] > latest_begin:
            latest_begin, latest_id = begun[id_], id_


def counter(history: History) -> Iterator[Finding]:
    """One eval, both effects or none."""
    for session, names, observation in observed(history):
        if observation["counter"] != len(names):
            words = f"the counter is {observation['counter']}, and the list has {len(names)}"
            yield Finding("counter", session, words)


def file(history: History) -> Iterator[Finding]:
    """What an eval wrote to the working folder is there when its list is, and not otherwise."""
    for session, names, observation in observed(history):
        if observation["file"] != list(names):
            words = f"the file has {len(observation['file'])} lines, the last {observation['file'][-3:]}"
            yield Finding("file", session, f"{words}, and the list {len(names)}, the last {list(names)[-3:]}")


def array(history: History) -> Iterator[Finding]:
    """Every element of the large array is what the evals of the counter made of it."""
    for session, _, observation in observed(history):
        if observation["wrong_cells"]:
            yield Finding("array", session, f"{observation['wrong_cells']} elements are not what the counter says")


def journal(history: History) -> Iterator[Finding]:
    """The state is what the journal's evals make: no other, no order of its own. (Old entries may be gone.)"""
    for session, names, observation in observed(history):
        entries = [(seq, id_) for seq, id_ in observation["journal"] if not id_.startswith(SETUP)]
        seqs = [seq for seq, _ in observation["journal"]]
        if any(second != first + 1 for first, second in pairwise(seqs)):
            yield Finding("journal", session, "its numbers are not one after the other")
        told = [id_ for _, id_ in entries]
        if told != list(names)[len(names) - len(told) :]:
            yield Finding("journal", session, f"it has {told[-3:]} last, and the list {list(names)[-3:]}")
