"""A step of the system: its name, who takes it, and what for. `WORDS` says each one in English."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from .state import State


class Step(NamedTuple):
    """`who` and `what` are numbers; which kind of things they number depends on the name."""

    name: str
    who: int = 0
    what: int = 0


Moves = Iterator[tuple[Step, State]]

FAIR: Final[dict[str, str]] = {
    "reconnect": "the client of request {what}, whose front door is gone or silent, sends it to front door {who}",
    "attach": "front door {who} links to worker {what}",
    "dispatch": "front door {who} dispatches request {what}",
    "start": "worker {who} starts request {what}",
    "execute": "worker {who} has executed request {what} and hands it over",
    "execute_in_place": "worker {who} has executed request {what}, its snapshot taken in place (no new shadow)",
    "hand_over": "worker {who} hands what is not confirmed to front door {what} as well",
    "commit": "the commit of front door {who}, up to eval {what}, reaches the store",
    "tell_early": "front door {who} tells eval {what} as committed, before its commit",
    "hear": "front door {who} hears the store's answer about eval {what}",
    "keep": "front door {who} answers request {what} as kept: its commit was refused for its size",
    "confirm": "front door {who} tells the agent that eval {what} is committed",
    "look": "front door {who}, told that request {what} is committed, reads it from the store",
    "settle": "front door {who} finds that worker {what} is over, reads the record and answers",
    "peek": "front door {who} reads the record before it raises",
    "raise": "front door {who} raises the generation (nonce {what})",
    "read": "front door {who} reads the record, and answers for what was dispatched",
    "publish": "front door {who} restores worker {what} and publishes it",
    "abandon": "front door {who} finds that its replacement {what} is not current any more",
    "park": "front door {who} parks the session: generation raised (nonce {what}), no worker",
    "park_unraised": "front door {who} writes that the session has no worker, and ends worker {what} soon",
    "park_refused": "front door {who} is refused to park worker {what}",
    "end": "front door {who} ends worker {what}",
    "park_over": "worker {who} takes requests again, park_ms after it agreed to be parked",
    "rewind_read": "front door {who} reads the record, to rewind",
    "rewind": "the rewind of front door {who} reaches the store (nonce {what})",
    "hear_rewind": "front door {who} hears that the rewind is committed",
    "sync": "the store's disk has everything",
    "tell_regressed": "the client of request {what} attaches with an etag that the store does not have",
}
"""Steps that are taken sooner or later if nothing else happens."""

FREE: Final[dict[str, str]] = {
    "submit": "a client sends request {what} to front door {who}",
    "ask": "front door {who} asks worker {what} to be parked, and it agrees",
    "find_idle": "front door {who} finds worker {what} idle",
    "wake": "front door {who} wakes",
    "late": "a commit of front doors that died or are stopped, up to eval {what}, reaches the store",
    "backup": "someone copies the store's file",
}
"""Steps that may be taken, or never."""

FAULTY: Final[dict[str, str]] = {
    "worker_dies": "worker {who} dies",
    "interpreter_dies": "the interpreter of worker {who} dies",
    "front_dies": "front door {who} dies",
    "front_dies_sending": "front door {who} dies with a commit on its way",
    "pause": "front door {who} is stopped",
    "pause_sending": "front door {who} is stopped with a commit on its way",
    "lose": "the store's answer to front door {who} is lost",
    "lose_rewind": "the store's answer to the rewind of front door {who} is lost",
    "suspect": "front door {who} takes a living worker for dead and raises the generation (nonce {what})",
    "raise_early": "front door {who} raises past an owner that was only slow (nonce {what})",
    "hand_over_early": "worker {who} hands over to front door {what} as well, for the first one was slow",
    "store_back": "the store comes back with the older file",
    "store_crash": "the store dies and comes back with what its disk has",
}
"""Steps that spend a fault."""

WORDS: Final = FAIR | FREE | FAULTY


def in_words(step: Step) -> str:
    """One line for a trace."""
    return WORDS[step.name].format(who=step.who, what=step.what)
