"""The traces of durability.md, and those that this model added: each a path, what it ends with, and what happens to a
protocol without the rule that the trace is there for.

A line is a step of `steps.WORDS` and its numbers: front door and request, front door and worker, worker and request.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .promises import EVERY_REQUEST_ENDS
from .setup import Broken, Fault, Setup

Script = tuple[str, ...]


class Told(NamedTuple):
    """What a client was told of its request, in the end: the worker whose run is committed, those whose run is not."""

    committed: int = 0
    rolled_back: frozenset[int] = frozenset()
    regressed: bool = False


class Trace(NamedTuple):
    """`script` is what happens with all rules; `without` is what is possible without `rule`, and breaks `promise`."""

    number: int
    title: str
    setup: Setup
    script: Script
    ends: dict[int, Told]
    rule: Broken
    without: Script
    promise: str


_FIRST: Final = ("submit 1 1", "raise 1 1", "read 1", "publish 1 1", "dispatch 1 1", "start 1 1")
"""The first request of a session, through front door 1, is running on worker 1."""

_EXECUTED: Final = (*_FIRST, "execute 1 1")
_COMMITTED: Final = (*_EXECUTED, "commit 1 1", "hear 1 1")

_NEW_AGENT: Final = ("worker_dies 1", "submit 2 1", "raise 2 2", "read 2", "publish 2 2", "dispatch 2 1")
_TOO_LARGE: Final = (
    *(*_EXECUTED, "commit 1 1", "hear 1 1", "keep 1 1"),
    *("submit 1 2", "dispatch 1 2", "start 1 2", "execute 1 2", "commit 1 2", "hear 1 2"),
)
_REPLACED_UNHEARD: Final = (
    *(*_EXECUTED, "submit 2 1", "attach 2 1", "commit 1 1", "lose 1", "suspect 2 2", "commit 1 1", "hear 1 1"),
)
_USED_AGAIN: Final = (
    *("backup", *_COMMITTED, "confirm 1 1", "store_back"),
    *("submit 2 2", "raise 2 2", "read 2", "publish 2 2", "dispatch 2 2", "start 2 2", "execute 2 2"),
    *("commit 2 1", "hear 2 1", "submit 1 3", "dispatch 1 3", "start 1 3", "execute 1 3", "commit 1 2"),
)
_STOPPED: Final = (*_FIRST, "pause 1", "reconnect 2 1", "attach 2 1", "dispatch 2 1", "execute 1 1")
_LATE_JOINER: Final = (*_COMMITTED, "submit 1 1", "dispatch 1 1", "confirm 1 1")
_TWO_AT_ONCE: Final = (
    *("submit 1 1", "submit 2 1", "raise 1 1", "read 1", "pause 1"),
    *("raise 2 2", "read 2", "publish 2 2", "wake 1"),
)
_NO_SHADOW: Final = (*_FIRST, "execute_in_place 1 1", "commit 1 1", "hear 1 1", "confirm 1 1", "interpreter_dies 1 0")

TRACES: Final = (
    Trace(
        number=1,
        title="the id comes again through another front door, and the new agent has never heard of it",
        setup=Setup(evals=1, attempts=2, kinds=frozenset({Fault.WORKER})),
        script=(*_COMMITTED, *_NEW_AGENT, "no start 2 1", "look 2 1"),
        ends={1: Told(committed=1)},
        rule=Broken.NO_ID_TABLE,
        without=(*_COMMITTED, *_NEW_AGENT, "start 2 1"),
        promise="not started again",
    ),
    Trace(
        number=2,
        title="the state of eval 1 is too large to commit, that of eval 2 is small",
        setup=Setup(faults=0, heavy=frozenset({1})),
        script=(*_TOO_LARGE, "confirm 1 2"),
        ends={1: Told(), 2: Told(committed=1)},
        rule=Broken.ONLY_LAST,
        without=_TOO_LARGE,
        promise=EVERY_REQUEST_ENDS,
    ),
    Trace(
        number=3,
        title="a commit is applied and its reply lost, the worker is replaced, and the commit asked again: FENCED",
        setup=Setup(evals=1, attempts=2, faults=2, kinds=frozenset({Fault.REPLY, Fault.SUSPICION})),
        script=(*_REPLACED_UNHEARD, "read 2", "publish 2 2", "dispatch 2 1", "look 2 1"),
        ends={1: Told(committed=1)},
        rule=Broken.FENCED_MEANS_LOST,
        without=_REPLACED_UNHEARD,
        promise="honest roll-back",
    ),
    Trace(
        number=4,
        title="the store comes back with an older file, and a generation number is used again",
        setup=Setup(evals=3, kinds=frozenset({Fault.STORE_BACK})),
        script=(*_USED_AGAIN, "hear 1 2", "tell_regressed 0 1"),
        ends={1: Told(regressed=True), 2: Told(committed=2), 3: Told(rolled_back=frozenset({1}))},
        rule=Broken.BY_NUMBERS_ONLY,
        without=_USED_AGAIN,
        promise="single history",
    ),
    Trace(
        number=5,
        title="an outcome is handed to a front door that is stopped with its link open",
        setup=Setup(evals=1, kinds=frozenset({Fault.PAUSE})),
        script=(*_STOPPED, "hand_over 1 2", "commit 2 1", "hear 2 1", "confirm 2 1"),
        ends={1: Told(committed=1)},
        rule=Broken.NO_HANDOVER_MS,
        without=(*_STOPPED, "no hand_over 1 2"),
        promise=EVERY_REQUEST_ENDS,
    ),
    Trace(
        number=6,
        title="a retry joins at the committing front door, between its answer and its word to the agent",
        setup=Setup(evals=1, attempts=2, faults=0),
        script=(*_LATE_JOINER, "look 1 1"),
        ends={1: Told(committed=1)},
        rule=Broken.COMMITTER_NOT_TOLD,
        without=(*_LATE_JOINER, "no look 1 1"),
        promise=EVERY_REQUEST_ENDS,
    ),
    Trace(
        number=7,
        title="a session is found idle, another front door dispatches, and the session is parked",
        setup=Setup(attempts=2, faults=0, parks=1),
        script=(
            *(*_COMMITTED, "confirm 1 1", "ask 1 1", "submit 2 2", "attach 2 1", "no dispatch 2 2"),
            *("park 1 2", "end 1 1", "settle 2 1", "raise 2 3", "read 2", "publish 2 3", "dispatch 2 2"),
            *("start 3 2", "execute 3 2", "commit 2 2", "hear 2 2"),
        ),
        ends={1: Told(committed=1), 2: Told(committed=3)},
        rule=Broken.PARK_UNASKED,
        without=(
            *(*_COMMITTED, "confirm 1 1", "find_idle 1 1", "submit 2 2", "attach 2 1", "dispatch 2 2", "start 1 2"),
            *("execute 1 2", "submit 1 2", "dispatch 1 2", "park_unraised 1 1", "commit 2 2"),
        ),
        promise="honest roll-back",
    ),
    Trace(
        number=8,
        title="two front doors replace at once, and the slower one publishes",
        setup=Setup(evals=1, attempts=2, kinds=frozenset({Fault.PAUSE})),
        script=(
            *(*_TWO_AT_ONCE, "no publish 1 1", "abandon 1 1", "reconnect 2 1", "dispatch 2 1", "start 2 1"),
            *("execute 2 1", "commit 2 1", "hear 2 1", "confirm 2 1", "attach 1 2", "dispatch 1 1", "look 1 1"),
        ),
        ends={1: Told(committed=2)},
        rule=Broken.PUBLISH_UNCHECKED,
        without=(*_TWO_AT_ONCE, "publish 1 1"),
        promise="published is current",
    ),
    Trace(
        number=9,
        title="a shadow of seq 0 is there when the interpreter dies at seq 1",
        setup=Setup(kinds=frozenset({Fault.INTERPRETER}), shadow=True),
        script=(
            *(*_NO_SHADOW, "submit 1 2", "raise 1 2", "read 1", "publish 1 2", "dispatch 1 2"),
            *("start 2 2", "execute 2 2", "commit 1 2", "hear 1 2"),
        ),
        ends={1: Told(committed=1), 2: Told(committed=2)},
        rule=Broken.SHADOW_AT_ANY_SEQ,
        without=(*_NO_SHADOW, "submit 1 2", "dispatch 1 2", "start 1 2", "execute 1 2", "commit 1 2"),
        promise="all or nothing",
    ),
    Trace(
        number=10,
        title="a sync is asked for on a connection that wrote nothing",
        setup=Setup(kinds=frozenset({Fault.STORE_CRASH})),
        script=(
            *("submit 1 1", "raise 1 1", "no read 1", "sync", "read 1", "publish 1 1", "dispatch 1 1", "start 1 1"),
            *("execute 1 1", "commit 1 1", "no hear 1 1", "store_crash", "commit 1 1", "sync", "hear 1 1"),
        ),
        ends={1: Told(committed=1)},
        rule=Broken.SYNC_UNCHECKED,
        without=(
            *("submit 1 1", "raise 1 1", "sync", "read 1", "publish 1 1", "dispatch 1 1", "start 1 1"),
            *("execute 1 1", "commit 1 1", "hear 1 1", "store_crash"),
        ),
        promise="durable",
    ),
)
"""In the order of the page."""

_SUSPECTED: Final = (
    *("submit 1 1", "raise 1 1", "sync", "read 1", "publish 1 1", "dispatch 1 1", "start 1 1"),
    *("submit 2 1", "attach 2 1", "dispatch 2 1", "sync", "suspect 2 2"),
)
_BEHIND_THE_RAISE: Final = (
    *(*_FIRST, "submit 2 1", "attach 2 1", "dispatch 2 1", "execute 1 1", "backup"),
    *("worker_dies 1", "raise 2 2", "store_back"),
)
_STOPPED_PARKING: Final = (
    *(*_COMMITTED, "confirm 1 1", "ask 1 1", "submit 2 2", "attach 2 1", "no dispatch 2 2"),
    *("pause 1", "park_over 1", "dispatch 2 2", "start 1 2", "wake 1", "park 1 2"),
    *("execute 1 2", "commit 2 2", "hear 2 2"),
)

ADDED: Final = (
    Trace(
        number=11,
        title="a worker is replaced, a request told as rolled back, and the raise was not on the disk yet",
        setup=Setup(evals=1, attempts=2, faults=2, kinds=frozenset({Fault.STORE_CRASH, Fault.SUSPICION})),
        script=(
            *(*_SUSPECTED, "no read 2", "execute 1 1", "store_crash", "commit 1 1", "sync", "hear 1 1"),
            *("confirm 1 1", "look 2 1"),
        ),
        ends={1: Told(committed=1)},
        rule=Broken.RAISE_UNSYNCED,
        without=(*_SUSPECTED, "read 2", "execute 1 1", "store_crash", "commit 1 1"),
        promise="honest roll-back",
    ),
    Trace(
        number=12,
        title="the store goes back behind a raise, between the raise and the reading",
        setup=Setup(evals=1, attempts=2, faults=2, kinds=frozenset({Fault.STORE_BACK, Fault.WORKER})),
        script=(
            *(*_BEHIND_THE_RAISE, "abandon 2 2", "commit 1 1", "raise 2 3", "read 2", "hear 1 1"),
            *("publish 2 3",),
        ),
        ends={1: Told(committed=1)},
        rule=Broken.READ_UNCHECKED,
        without=(*_BEHIND_THE_RAISE, "read 2", "commit 1 1"),
        promise="honest roll-back",
    ),
    Trace(
        number=13,
        title="who parks is stopped after the agent agreed, for longer than the agent refuses requests",
        setup=Setup(kinds=frozenset({Fault.PAUSE}), parks=1),
        script=_STOPPED_PARKING,
        ends={1: Told(committed=1), 2: Told(rolled_back=frozenset({1}))},
        rule=Broken.PARKED_TAKEN_BACK,
        without=(*_STOPPED_PARKING, "raise 2 3", "read 2", "publish 2 3", "dispatch 2 2", "start 3 2"),
        promise="never twice on our own",
    ),
)
"""Found here: where the page is silent."""
