"""The store's side of the protocol: a record, a commit, and the table of answers, as pure functions.

It mirrors `orchestrator/stores/redis/commit.lua` and `orchestrator/stores/memory.py`; `test_same_answers.py` runs the
same commits through all three. An etag is a hash over a chain of evals: here the chain itself stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Final, NamedTuple

REWIND: Final = 100
"""The body `REWIND + seq` takes the session back to the state of `seq`; smaller bodies are evals."""


class Entry(NamedTuple):
    """One execution: request `request` with body `body`, run by the worker numbered `worker`."""

    request: int
    body: int
    worker: int


Chain = tuple[Entry, ...]


class Record(NamedTuple):
    """What the store has of the session. Nonces number the raises, and so a worker bears the nonce it is made under."""

    generation: int = 0
    nonce: int = 0
    owner: int = 0
    """The front door that replaces the worker, from 1; 0: nobody does."""
    worker: int = 0
    """The published worker; 0: none."""
    journal: Chain = ()
    etag: Chain = ()
    state: Chain = ()
    """The executions whose effects the checkpoint has."""


class Commit(NamedTuple):
    """Evals `first`..n with the checkpoint of n. `raises` is the nonce that a rewind raises the generation with."""

    generation: int
    nonce: int
    base: Chain
    first: int
    entries: Chain
    state: Chain
    has_chunks: bool = True
    raises: int = 0
    owner: int = 0


class Answer(Enum):
    """What the script answers, in the order of its checks."""

    FENCED = "FENCED"
    CONFLICT = "CONFLICT"
    DUP = "DUP"
    GAP = "GAP"
    MISSING = "MISSING"
    OK = "OK"


Check = Callable[[Record, Commit], bool]
Rules = Mapping[Answer, Check]


def _is_stale(record: Record, asked: Commit) -> bool:
    return (record.generation, record.nonce) != (asked.generation, asked.nonce)


def _has_other_body(record: Record, asked: Commit) -> bool:
    bodies = {entry.request: entry.body for entry in record.journal}
    return any(bodies.get(entry.request, entry.body) != entry.body for entry in asked.entries)


def _is_all_known(record: Record, asked: Commit) -> bool:
    return {entry.request for entry in asked.entries} <= requests_of(record.journal)


def _is_not_next(record: Record, asked: Commit) -> bool:
    return _is_other_seq(record, asked) or asked.base != record.etag or not _is_kept(record, asked)


def _is_other_seq(record: Record, asked: Commit) -> bool:
    known = requests_of(record.journal)
    return asked.first != len(record.journal) + 1 or any(entry.request in known for entry in asked.entries)


def _is_kept(record: Record, asked: Commit) -> bool:
    """Whether the state that a rewind names is there."""
    return all(entry.body <= REWIND + len(record.journal) for entry in asked.entries)


def _lacks_chunks(_record: Record, asked: Commit) -> bool:
    return not asked.has_chunks


RULES: Final[Rules] = {
    Answer.FENCED: _is_stale,
    Answer.CONFLICT: _has_other_body,
    Answer.DUP: _is_all_known,
    Answer.GAP: _is_not_next,
    Answer.MISSING: _lacks_chunks,
}
"""The table of durability.md, row by row."""

WITHOUT_FENCE: Final[Rules] = {answer: check for answer, check in RULES.items() if answer is not Answer.FENCED}
BY_NUMBERS_ONLY: Final[Rules] = {
    **RULES,
    Answer.FENCED: lambda record, asked: record.generation != asked.generation,
    Answer.GAP: _is_other_seq,
}
"""Neither nonce nor base etag: generation and seq are all that is compared."""


def commit(record: Record, asked: Commit, rules: Rules = RULES) -> tuple[Answer, Record]:
    """The first row that applies; when none does, everything is written at once. A rewind asked again was made."""
    if asked.raises and asked.raises == record.nonce:
        return Answer.OK, record
    for answer, applies in rules.items():
        if applies(record, asked):
            return answer, record
    written = record._replace(
        journal=record.journal + asked.entries, etag=asked.base + asked.entries, state=asked.state
    )
    return Answer.OK, raised(written, asked.raises, asked.owner) if asked.raises else written


def raised(record: Record, nonce: int, owner: int) -> Record:
    """The next generation: whoever has `nonce` may publish its worker."""
    return record._replace(generation=record.generation + 1, nonce=nonce, owner=owner, worker=0)


@cache
def requests_of(journal: Chain) -> frozenset[int]:
    """The id table."""
    return frozenset(entry.request for entry in journal)


@cache
def run_of(journal: Chain, request: int) -> int:
    """The worker whose run of a request is in a history; 0: it is not there."""
    return next((entry.worker for entry in journal if entry.request == request), 0)


@cache
def replay(journal: Chain) -> Chain:
    """The state that a history leads to."""
    states: list[Chain] = [()]
    for entry in journal:
        states.append(states[entry.body - REWIND] if entry.body >= REWIND else (*states[-1], entry))
    return states[-1]
