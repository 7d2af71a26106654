"""The explorations of the test suite by name: each is small enough to be complete, together they meet every step."""

from __future__ import annotations

from typing import Final

from .setup import Broken, Fault, Setup

ANY: Final = frozenset({Fault.WORKER, Fault.FRONT, Fault.PAUSE, Fault.REPLY, Fault.SUSPICION, Fault.SLOW})
"""What may go wrong around a store that keeps what it has."""

SETUPS: Final[dict[str, Setup]] = {
    "two evals, any fault": Setup(evals=2, kinds=ANY),
    "an eval sent twice, any two faults": Setup(evals=1, attempts=2, faults=2, kinds=ANY),
    "parking, any fault": Setup(evals=1, attempts=2, kinds=ANY, parks=1),
    "rewinding, any fault": Setup(evals=1, kinds=ANY, rewind=True),
    "an older file": Setup(evals=1, attempts=2, faults=2, kinds=frozenset({Fault.STORE_BACK, Fault.WORKER})),
    "a disk that is behind": Setup(
        evals=1, attempts=2, faults=2, kinds=frozenset({Fault.STORE_CRASH, Fault.WORKER, Fault.SUSPICION})
    ),
    "rewinding on a disk that is behind": Setup(evals=1, kinds=frozenset({Fault.STORE_CRASH}), rewind=True),
    "a shadow": Setup(evals=2, faults=2, kinds=frozenset({Fault.INTERPRETER, Fault.WORKER}), shadow=True),
    "a state too large": Setup(
        evals=2, kinds=frozenset({Fault.WORKER, Fault.FRONT, Fault.REPLY, Fault.SUSPICION}), heavy=frozenset({1})
    ),
}

_SUSPECTED: Final = frozenset({Fault.SUSPICION})

BROKEN: Final[dict[Broken, tuple[Setup, str]]] = {
    Broken.NO_ID_TABLE: (Setup(evals=1, attempts=2, kinds=frozenset({Fault.WORKER})), "not started again"),
    Broken.ONLY_LAST: (Setup(faults=0, heavy=frozenset({1})), "every request ends"),
    Broken.FENCED_MEANS_LOST: (
        Setup(evals=1, faults=2, kinds=frozenset({Fault.REPLY, Fault.SUSPICION})),
        "honest roll-back",
    ),
    Broken.BY_NUMBERS_ONLY: (Setup(evals=1, kinds=frozenset({Fault.STORE_BACK})), "single history"),
    Broken.NO_HANDOVER_MS: (Setup(evals=1, kinds=frozenset({Fault.PAUSE})), "every request ends"),
    Broken.COMMITTER_NOT_TOLD: (Setup(evals=1, attempts=2, faults=0), "every request ends"),
    Broken.PARK_UNASKED: (Setup(attempts=2, faults=0, parks=1), "honest roll-back"),
    Broken.PUBLISH_UNCHECKED: (
        Setup(evals=1, attempts=2, kinds=frozenset({Fault.PAUSE})),
        "published is current",
    ),
    Broken.SHADOW_AT_ANY_SEQ: (Setup(kinds=frozenset({Fault.INTERPRETER}), shadow=True), "all or nothing"),
    Broken.SYNC_UNCHECKED: (Setup(evals=1, kinds=frozenset({Fault.STORE_CRASH})), "durable"),
    Broken.RAISE_UNSYNCED: (
        Setup(evals=1, attempts=2, faults=2, kinds=frozenset({Fault.STORE_CRASH, Fault.SUSPICION})),
        "honest roll-back",
    ),
    Broken.READ_UNCHECKED: (
        Setup(evals=1, attempts=2, faults=2, kinds=frozenset({Fault.STORE_BACK, Fault.WORKER})),
        "honest roll-back",
    ),
    Broken.NO_FENCE: (Setup(evals=1, kinds=_SUSPECTED), "single history"),
    Broken.ACK_BEFORE_COMMIT: (Setup(evals=1, faults=0), "durable"),
    Broken.DEDUPE_FORGOTTEN: (Setup(evals=1, attempts=2, faults=0), "not started again"),
    Broken.PARKED_TAKEN_BACK: (Setup(faults=0, parks=1), "never twice on our own"),
    Broken.RUN_AGAIN: (Setup(evals=1, kinds=frozenset({Fault.WORKER})), "never twice on our own"),
    Broken.READ_BEFORE_RAISE: (Setup(evals=1, kinds=frozenset({Fault.WORKER})), "honest roll-back"),
}
"""For each rule left out: a setup that shows it, and the promise that breaks there first."""
