"""What a run of the model explores: its sizes, what may go wrong, and which rule is left out on purpose."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .rules import BY_NUMBERS_ONLY, RULES, WITHOUT_FENCE, Rules


class Fault(Enum):
    """What may go wrong. Each one spends one of the run's faults."""

    WORKER = "a worker dies"
    FRONT = "a front door dies and starts again with nothing"
    PAUSE = "a front door is stopped (SIGSTOP), for ever or until it wakes"
    REPLY = "the reply to a commit is lost"
    SUSPICION = "a worker that lives is taken for dead"
    SLOW = "a time-out passes although nothing is wrong"
    STORE_BACK = "the store comes back with an older file"
    STORE_CRASH = "the store dies and starts again from its disk"
    INTERPRETER = "the interpreter dies, its agent lives"


class Broken(Enum):
    """A rule that is left out, so that the exploration can be seen to find it."""

    NO_ID_TABLE = "a new agent is not given the id table"
    ONLY_LAST = "commits carry only eval n"
    FENCED_MEANS_LOST = "FENCED is answered as rolled back, without a look at the record"
    BY_NUMBERS_ONLY = "neither nonce nor base etag is compared"
    NO_HANDOVER_MS = "an outcome stays with the link that it was handed to"
    COMMITTER_NOT_TOLD = "the agent does not tell the committing link that an id is committed"
    PARK_UNASKED = "parking neither asks the agent nor raises the generation"
    PUBLISH_UNCHECKED = "a worker is published whatever generation and nonce are"
    SHADOW_AT_ANY_SEQ = "the shadow takes over at any seq"
    SYNC_UNCHECKED = "a sync is believed that another connection's write is not covered by"
    RAISE_UNSYNCED = "what a raise wrote is believed before it is on the disk"
    READ_UNCHECKED = "after a raise the record is believed, although it shows the generation of before"
    NO_FENCE = "the script does not look at the generation"
    ACK_BEFORE_COMMIT = "a result goes out as committed before its commit"
    DEDUPE_FORGOTTEN = "the agent does not look whether an id is new"
    PARKED_TAKEN_BACK = "what was dispatched to a worker that was parked is dispatched again, for it began nothing"
    RUN_AGAIN = "what a dead worker had is dispatched again by us"
    READ_BEFORE_RAISE = "the record is read before the generation is raised"


class Setup(NamedTuple):
    """The sizes of one run."""

    evals: int = 2
    attempts: int = 1
    """How often a client sends each id of its own accord; what a dead front door took along is sent again besides."""
    faults: int = 1
    kinds: frozenset[Fault] = frozenset()
    parks: int = 0
    rewind: bool = False
    """One more request: a rewind to the state of seq 0."""
    heavy: frozenset[int] = frozenset()
    """Requests whose checkpoint alone is refused for its size."""
    shadow: bool = False
    broken: Broken | None = None

    @property
    def requests(self) -> range:
        """Evals from 1, then the rewind."""
        return range(1, self.evals + self.rewind + 1)

    @property
    def rewind_request(self) -> int:
        """The number of the rewind, or 0."""
        return self.evals + 1 if self.rewind else 0

    @property
    def rules(self) -> Rules:
        """The script's checks."""
        return _RULES.get(self.broken, RULES)


_RULES: dict[Broken | None, Rules] = {Broken.NO_FENCE: WITHOUT_FENCE, Broken.BY_NUMBERS_ONLY: BY_NUMBERS_ONLY}
