"""The twin and the server give the same answers to any sequence of calls."""

import dataclasses
import random
from typing import Any

import pytest

from orchestrator.core.commits import Answer, Commit, Entry
from orchestrator.core.intents import Intent
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.memory import MemoryStore
from orchestrator.stores.redis import RedisStore
from support.commits import POLICY, Writer, chunk, entry, fresh_session

pytestmark = pytest.mark.redis

STEPS = 250
LIMITS = StoreLimits(ids_kept=5, ids_kept_s=0, journal_kept=8, generations_kept=3, states_kept=2)
CHUNKS = [chunk(b"chunk %d" % number) for number in range(5)]


class Pair:
    """One session's lineage, played on both stores with the same calls; nonces are each store's own."""

    def __init__(self, server: RedisStore, seed: int) -> None:
        self.random = random.Random(seed)
        self.stores = (MemoryStore(limits=LIMITS), server)
        first = fresh_session()
        self.sessions = [first, fresh_session(first)]
        self.nonces: dict[tuple[str, int], tuple[str, str]] = {}
        self.answers: set[Answer] = set()

    async def both(self, call: Any) -> Any:
        """The answers of both, which have to be equal."""
        ours, theirs = [await call(store) for store in self.stores]
        assert ours == theirs
        return ours

    async def begin(self) -> None:
        """Make the sessions."""
        for session in self.sessions:
            made = [await store.create(session, POLICY) for store in self.stores]
            self.nonces[session, 0] = (made[0].nonce, made[1].nonce)

    async def step(self) -> None:
        """One call, more often a commit than anything else."""
        session = self.random.choice(self.sessions)
        pick = self.random.random()
        if pick < 0.10:
            await self.raise_(session)
        elif pick < 0.25:
            await self.intend(session)
        elif pick < 0.30:
            name = f"request-{self.random.randint(1, 30)}"
            await self.both(lambda store: store.outcome(session, name))
        else:
            await self.commit(session)
        await self.compare(session)

    async def raise_(self, session: str) -> None:
        """By an owner that may or may not know the generation."""
        record = await self.stores[0].read(session)
        assert record is not None
        seen = record.generation - self.random.choice([0, 0, 0, 1])
        raised = [await store.raise_generation(session, seen, "front", 30.0) for store in self.stores]
        assert [found and found.generation for found in raised] in ([None, None], [seen + 1, seen + 1])
        if raised[0] is not None and raised[1] is not None:
            self.nonces[session, seen + 1] = (raised[0].nonce, raised[1].nonce)

    async def intend(self, session: str) -> None:
        """By whoever knows the generation, or knew it; sometimes taken back."""
        record = await self.stores[0].read(session)
        assert record is not None
        generation = max(0, record.generation - self.random.choice([0] * 5 + [1]))
        name, body = f"request-{self.random.randint(1, 40)}", self.random.choice([b"b", b"b", b"o"]) * 32
        keeps, takes_back = self.random.random() < 0.5, self.random.random() < 0.2
        replies = []
        for store in self.stores:
            nonce = self.nonces[session, generation][self.stores.index(store)]
            intent = Intent(session, generation, nonce, name, body, "acme/ann", keeps)
            replies.append(list(await store.intend([intent])))
            if takes_back:
                await store.withdraw([intent])
        assert replies[0] == replies[1]

    async def commit(self, session: str) -> None:
        """Often a proper one; else one with a fault, or an old one again."""
        record = await self.stores[0].read(session)
        assert record is not None
        generation = max(0, record.generation - self.random.choice([0] * 9 + [1]))
        first = max(1, record.seq + 1 + self.random.choice([0] * 8 + [1, -1, -3]))
        entries = tuple(self.entry(first + at) for at in range(self.random.choice([1, 1, 1, 2, 3])))
        etag = self.random.choice([record.etag] * 9 + ["x"])
        writer = Writer(self.stores[0], session, generation, "", record.seq, etag)
        kept = self.random.sample(CHUNKS, self.random.randint(0, 3))
        sent = kept if self.random.random() < 0.8 else kept[1:]
        made = writer.next_commit(*entries, chunks=sent, references=[item for item, _ in kept])
        if len({item.request_id for item in entries}) < len(entries):
            return
        replies = [await store.commit(self.signed(store, made)) for store in self.stores]
        ours, theirs = (dataclasses.replace(reply, durable="") for reply in replies)
        assert ours == theirs
        self.answers.add(ours.answer)

    def entry(self, seq: int) -> Entry:
        """An eval, sometimes under an old id, sometimes with another body."""
        name = f"request-{max(1, seq - self.random.choice([0] * 12 + [1, 7]))}"
        return entry(seq, name, self.random.choice([b"code"] * 12 + [b"other"]))

    def signed(self, store: MemoryStore | RedisStore, commit: Commit) -> Commit:
        """With the nonce that this store gave."""
        nonce = self.nonces[commit.session, commit.generation][self.stores.index(store)]
        return dataclasses.replace(commit, nonce=nonce)

    async def compare(self, session: str) -> None:
        """Everything that can be read."""
        await self.both(lambda store: _comparable(store, session))


async def _comparable(store: MemoryStore | RedisStore, session: str) -> Any:
    record = await store.read(session)
    assert record is not None
    chunks = await store.chunks(session, [item for item, _ in CHUNKS])
    return (
        dataclasses.replace(record, created_at=0, seen_at=0, linked_at=0, deadline=0, nonce=""),
        await store.checkpoint(session),
        chunks,
        list(await store.known_ids(session)),
        list(await store.journal(session, 1, 10_000)),
    )


@pytest.mark.parametrize("seed", range(4))
async def test_the_twin_answers_as_the_server_does(server, seed):
    """Random calls, the same on both: commits with every fault, raises, reads."""
    store = RedisStore(server.url, limits=LIMITS)
    try:
        pair = Pair(store, seed)
        await pair.begin()
        for _ in range(STEPS):
            await pair.step()
        assert pair.answers == set(Answer)
        await pair.both(lambda one: one.end(pair.sessions[0]))
        await pair.compare(pair.sessions[1])
    finally:
        await store.close()
