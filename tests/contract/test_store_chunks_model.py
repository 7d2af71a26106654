"""Chunks against a naive model: what any kept state or pin refers to is there; after the grace, nothing else is.

The same random calls go to the twin, to a server, and to a server beside a blob store, whose answers have to be equal.
"""

import asyncio
import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestrator.core.commits import Answer
from orchestrator.core.session import Pin
from orchestrator.ports import Raised
from orchestrator.stores.blobs_memory import MemoryBlobs
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.memory import MemoryStore
from orchestrator.stores.redis import RedisStore
from replwire.errors import WireError
from support.commits import POLICY, Writer, chunk, claim, fresh_session, seed_of

pytestmark = pytest.mark.redis

LIMITS = StoreLimits(states_kept=3, pins_max=2, lineage_max=4, chunk_grace_s=0)
UNIVERSE = [chunk(b"chunk %d" % number) for number in range(40)]
"""More than 32 of them, so that both ways of finding differences are taken."""

IDS = [item for item, _ in UNIVERSE]
PICKS = st.lists(st.integers(0, len(UNIVERSE) - 1), max_size=5)
NAMES = st.sampled_from(["a", "b", "c"])
Refs = tuple[bytes, ...]


@dataclasses.dataclass
class Known:
    """What the model knows of a session: states by seq, pins by name, and a writer for each store."""

    writers: list[Writer]
    states: dict[int, Refs] = dataclasses.field(default_factory=dict)
    pins: dict[str, tuple[int, Refs]] = dataclasses.field(default_factory=dict)

    @property
    def session(self) -> str:
        """Its id, which is the same in all stores."""
        return self.writers[0].session

    @property
    def held(self) -> set[bytes]:
        """What it refers to."""
        return set(itertools.chain(*self.states.values(), *(refs for _, refs in self.pins.values())))

    def keep(self, seq: int, refs: Refs) -> None:
        """A state is the last one now."""
        self.states[seq] = refs
        for oldest in sorted(self.states)[: -LIMITS.states_kept]:
            del self.states[oldest]


class ChunksMachine(RuleBasedStateMachine):
    """One lineage at a time; when its last session ends, another one begins."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stores: list[MemoryStore | RedisStore] = [
            MemoryStore(limits=LIMITS),
            RedisStore(self.url, limits=LIMITS),
            RedisStore(self.url, limits=LIMITS, blobs=MemoryBlobs(), object_bytes_min=8),
        ]
        self.known: list[Known] = []
        self.counter = itertools.count()

    def on_all(self, call: Any) -> Any:
        """The answer of every store to `call(store, number)`, which has to be the same."""
        answers = [self.runner.run(call(store, number)) for number, store in enumerate(self.stores)]
        assert answers[0] == answers[1] == answers[2]
        return answers[0]

    def known_one(self, pick: int) -> Known:
        """One of the sessions."""
        return self.known[pick % len(self.known)]

    @initialize()
    def begin(self) -> None:
        """A session in a lineage of its own. The two servers are one: they have lineages of their own."""
        sessions = [fresh_session(), fresh_session(), fresh_session()]
        for store, session in zip(self.stores, sessions, strict=True):
            self.runner.run(store.create(session, POLICY))
        self.claim_all(sessions)

    def claim_all(self, sessions: list[str]) -> Known:
        """Writers for sessions that are new, one in each store."""
        writers = [self.runner.run(claim(store, at, 0)) for store, at in zip(self.stores, sessions, strict=True)]
        self.known.append(Known(writers))
        return self.known[-1]

    @rule(pick=st.integers(0, 9), stays=st.integers(0, 40), fresh=PICKS, many=st.booleans())
    def commit(self, pick: int, stays: int, fresh: list[int], many: bool) -> None:
        """Some of what the last state had, and some new ones; at times nearly all that there are."""
        known = self.known_one(pick)
        last = known.states[max(known.states)] if known.states else ()
        chunks = [UNIVERSE[at] for at in fresh]
        if many:
            chunks += [one for at, one in enumerate(UNIVERSE) if at != stays]
        refs = (*last[:stays], *(item for item, _ in chunks))

        async def call(store: Any, number: int) -> Answer:
            return (await known.writers[number].commit(chunks=chunks, references=refs)).answer

        assert self.on_all(call) is Answer.OK
        known.keep(known.writers[0].seq, refs)

    @rule(pick=st.integers(0, 9), wanted=PICKS)
    def commit_what_may_be_absent(self, pick: int, wanted: list[int]) -> None:
        """Chunks of whichever state, or of none: taken or refused, everywhere alike."""
        known = self.known_one(pick)
        refs = tuple(IDS[at] for at in wanted)

        async def call(store: Any, number: int) -> Answer:
            return (await known.writers[number].commit(references=refs)).answer

        if self.on_all(call) is Answer.OK:
            known.keep(known.writers[0].seq, refs)

    @rule(pick=st.integers(0, 9), wanted=PICKS)
    def put(self, pick: int, wanted: list[int]) -> None:
        """Ahead of a commit that never comes."""
        known = self.known_one(pick)
        chunks = [UNIVERSE[at] for at in wanted]
        self.on_all(lambda store, number: store.put(known.writers[number].session, chunks))

    @rule(pick=st.integers(0, 9), back=st.integers(0, 3))
    def rewind(self, pick: int, back: int) -> None:
        """To a state that is kept, or one that never was."""
        known = self.known_one(pick)
        to = (max(known.states) if known.states else 0) - back
        refs, number = known.states.get(to, ()), next(self.counter)

        async def call(store: Any, at: int) -> Answer:
            writer = known.writers[at]
            commit = writer.next_commit(references=refs)
            raised = Raised(writer.generation + 1, f"{number:032x}")
            reply = await store.rewind(commit, to, raised, "front", 30.0)
            if reply.answer is Answer.OK:
                writer.accept(commit)
                writer.generation, writer.nonce = raised.generation, raised.nonce
            return reply.answer

        answer = self.on_all(call)
        assert answer is (Answer.OK if to in known.states else Answer.GAP)
        if answer is Answer.OK:
            known.keep(known.writers[0].seq, refs)

    @rule(pick=st.integers(0, 9), name=NAMES, back=st.integers(0, 3))
    def pin(self, pick: int, name: str, back: int) -> None:
        """A state that is kept, or not; a new name, or one that is there."""
        known = self.known_one(pick)
        seq = (max(known.states) if known.states else 0) - back

        async def call(store: Any, number: int) -> str:
            session = known.writers[number].session
            state = await store.checkpoint(session, seq)
            try:
                return str(await store.pin(session, Pin(name, seq, state.etag if state else "")))
            except WireError as error:
                return error.code

        answer = self.on_all(call)
        if answer == "True" and seq in known.states:
            known.pins[name] = seq, known.states[seq]

    @rule(pick=st.integers(0, 9), name=NAMES)
    def unpin(self, pick: int, name: str) -> None:
        """A name that is there, or not."""
        known = self.known_one(pick)
        assert self.on_all(lambda store, at: store.unpin(known.writers[at].session, name)) == (name in known.pins)
        known.pins.pop(name, None)

    @rule(pick=st.integers(0, 9), back=st.integers(0, 2), name=st.none() | NAMES)
    def fork(self, pick: int, back: int, name: str | None) -> None:
        """From a state or a pin, if it is kept and the lineage has room."""
        known = self.known_one(pick)
        at: int | str = name if name is not None else (max(known.states) if known.states else 0) - back
        seq, refs = known.pins.get(name, (0, ())) if name is not None else (int(at), known.states.get(int(at), ()))
        if not (name in known.pins if name is not None else at in known.states):
            return
        sessions = [fresh_session(writer.session) for writer in known.writers]

        async def call(store: Any, number: int) -> bool:
            parent = known.writers[number].session
            state = await store.checkpoint(parent, at)
            return await store.fork(parent, at, sessions[number], POLICY, seed_of(state)) is not None

        is_made = self.on_all(call)
        assert is_made == (len(self.known) < LIMITS.lineage_max)
        if is_made:
            self.claim_all(sessions).states[seq] = refs

    @precondition(lambda self: len(self.known) > 1)
    @rule(pick=st.integers(0, 9))
    def end(self, pick: int) -> None:
        """The others go on."""
        known = self.known.pop(pick % len(self.known))
        self.on_all(lambda store, number: store.end(known.writers[number].session))

    @rule()
    def sweep(self) -> None:
        """The grace is over at once: what is there now is what is referred to."""

        async def call(store: Any, number: int) -> frozenset[bytes]:
            await store.sweep_chunks()
            return frozenset(await store.chunks(self.known[0].writers[number].session, IDS))

        held = set().union(*(known.held for known in self.known))
        assert self.on_all(call) == held

    @invariant()
    def what_is_referred_to_is_there(self) -> None:
        """Whole, with whatever waits; and the states are those that the model keeps."""
        if not self.known:
            return

        async def call(store: Any, number: int) -> Any:
            kept = [await store.kept_states(known.writers[number].session) for known in self.known]
            names = [(found.seqs, [(pin.name, pin.seq) for pin in found.pins]) for found in kept]
            return names, dict(await store.chunks(self.known[0].writers[number].session, IDS))

        names, there = self.on_all(call)
        assert set().union(*(known.held for known in self.known)) <= there.keys()
        assert there.items() <= dict(UNIVERSE).items()
        for known, (seqs, pins) in zip(self.known, names, strict=True):
            assert seqs == tuple(sorted(known.states))
            assert pins == [(name, known.pins[name][0]) for name in sorted(known.pins)]

    def teardown(self) -> None:
        """End all; of the lineages nothing is left in the server, and no object beside it."""
        for known in self.known:
            for store, writer in zip(self.stores, known.writers, strict=True):
                self.runner.run(store.end(writer.session))
        for store in self.stores:
            self.runner.run(store.sweep_chunks())
            self.runner.run(store.close())
        self.runner.close()


def test_chunks_are_there_as_long_as_anything_refers_to_them(make_server):
    """Random commits, rewinds, pins, forks, ends and sweeps."""
    ChunksMachine.url = make_server(appendfsync="no").url
    run_state_machine_as_test(
        ChunksMachine,
        settings=settings(
            max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
