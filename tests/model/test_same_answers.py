"""The model's rules, the memory store and the Redis script answer the same commits in the same way."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model.rules import REWIND, Answer, Chain, Commit, Entry, Record, commit, raised, replay
from orchestrator.core import commits as real
from orchestrator.core.session import Checkpoint
from orchestrator.ports import Raised, Store
from orchestrator.stores.memory import MemoryStore
from orchestrator.stores.redis import RedisStore
from support.commits import POLICY, chunk, entry, fresh_session
from support.redis_server import RedisServer, binaries

STEPS = 400
REQUESTS = 25
ABSENT = (chunk(b"nobody has it")[0],)
STRANGE_ETAG = "0" * 32
STRANGE_NONCE = "f" * 32
SERVERS = binaries() or {"redis-server": ""}


@pytest.fixture(params=["memory", *(pytest.param(kind, marks=pytest.mark.redis) for kind in SERVERS)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """A store of one kind; its server ends with the test."""
    if request.param == "memory":
        yield MemoryStore
        return
    server = RedisServer(SERVERS[request.param], tmp_path)
    yield lambda: RedisStore(server.url)
    server.kill()


@dataclass
class Pair:
    """The model's record and a store's, on the same path."""

    store: Store
    random: random.Random
    session: str
    nonces: dict[int, str]
    etags: dict[Chain, str]
    record: Record = field(default_factory=Record)
    rewinds: int = 0

    @property
    def newest(self) -> int:
        """The highest id that is known."""
        return max((item.request for item in self.record.journal), default=0)

    async def raise_generation(self) -> None:
        """By compare-and-set, sometimes on a generation that is not current: then nothing happens."""
        seen = self.record.generation - (self.random.random() < 0.2)
        made = await self.store.raise_generation(self.session, seen, "front", 30.0)
        assert (made is not None) is (seen == self.record.generation)
        if made is not None:
            nonce = max(self.nonces) + 1
            self.nonces[nonce] = made.nonce
            self.record = raised(self.record, nonce, 1)

    def asked(self) -> Commit:
        """Often the next commit; else one that is wrong in one way or in several."""
        record, pick = self.record, self.random
        first = len(record.journal) + 1 + pick.choice([0] * 8 + [1, -1, -2])
        requests = pick.sample(range(1, REQUESTS), k=pick.choice([1, 1, 1, 2, 3]))
        if pick.random() < 0.75:
            requests = [self.newest + at for at in (1, 2)]
            requests = requests[: pick.choice([1, 1, 2])]
        entries = tuple(Entry(request, pick.choice([0] * 12 + [1]), record.nonce) for request in requests)
        return Commit(
            generation=record.generation - (pick.random() < 0.05),
            nonce=record.nonce if pick.random() < 0.95 else -1,
            base=record.etag if pick.random() < 0.9 else (Entry(0, 0, 0),),
            first=max(1, first),
            entries=entries,
            state=(*record.state, *entries),
            has_chunks=pick.random() < 0.9,
        )

    def translated(self, asked: Commit) -> real.Commit:
        """The same in the store's terms: a manifest that says which state it is, and etags that are hashes."""
        base, manifest = self.etags.get(asked.base, STRANGE_ETAG), manifest_of(asked.state)
        entries = tuple(
            entry(asked.first + at, f"request-{item.request}", b"%d" % item.body)
            for at, item in enumerate(asked.entries)
        )
        return real.Commit(
            session=self.session,
            generation=asked.generation,
            nonce=self.nonces.get(asked.nonce, STRANGE_NONCE),
            base_etag=base,
            etags=real.chain(base, entries, manifest),
            entries=entries,
            manifest=manifest,
            references=() if asked.has_chunks else ABSENT,
            chunks=(),
            last_event=asked.first,
        )

    async def sent(self, asked: Commit, sent: real.Commit) -> real.CommitReply:
        """To the store; a rewind twice, as if its reply had been lost."""
        if not asked.raises:
            return await self.store.commit(sent)
        nonce = secrets.token_hex(16)
        arguments = (sent, asked.entries[0].body - REWIND, Raised(asked.generation + 1, nonce), "front", 30.0)
        reply = await self.store.rewind(*arguments)
        if reply.answer is real.Answer.OK:
            self.nonces[asked.raises] = nonce
            assert commit(self.record, asked) == (Answer.OK, self.record)
            assert await self.store.rewind(*arguments) == reply
            self.rewinds += 1
        return reply

    def rewind(self) -> Commit:
        """Back to one of the last states, or to one that there is not yet; sometimes by somebody who is late."""
        record, last = self.record, len(self.record.journal)
        # A commit of several evals has the state of the last one only; seq 0 has none.
        states = [len(chain) for chain in self.etags if chain][-4:]
        to = self.random.choice([*states, last + 5])
        entry = Entry(self.newest + 1, REWIND + to, record.nonce)
        return Commit(
            generation=record.generation - (self.random.random() < 0.1),
            nonce=record.nonce,
            base=record.etag,
            first=last + 1,
            entries=(entry,),
            state=replay(record.journal[:to]),
            raises=max(self.nonces) + 1,
            owner=1,
        )

    async def commit(self) -> Answer:
        """The same commit on both; the answer, which has to be the same."""
        asked = self.rewind() if self.random.random() < 0.1 else self.asked()
        sent, before = self.translated(asked), self.record
        answer, self.record = commit(before, asked)
        reply = await self.sent(asked, sent)
        assert reply.answer.value == answer.value, asked
        if answer is Answer.OK:
            self.etags[self.record.etag] = sent.etag
        if answer in (Answer.GAP, Answer.DUP):
            assert (reply.seq, reply.etag) == (len(before.journal), self.etags[before.etag])
        if answer is Answer.DUP:
            seqs = {item.request: seq for seq, item in enumerate(before.journal, 1)}
            assert [seq for seq, _ in reply.stored] == [seqs[item.request] for item in asked.entries]
        await self.compare()
        return answer

    async def compare(self) -> None:
        """Record, id table and checkpoint say the same."""
        found, state = await self.store.read(self.session), await self.store.checkpoint(self.session)
        assert found is not None
        known = [(item.request_id, item.seq) for item in await self.store.known_ids(self.session)]
        ours = self.record
        assert (found.generation, found.seq) == (ours.generation, len(ours.journal))
        assert found.etag == self.etags[ours.etag]
        assert known == [(f"request-{item.request}", seq) for seq, item in enumerate(ours.journal, 1)]
        assert _manifest(state) == (manifest_of(ours.state) if ours.journal else b"")


def manifest_of(state: Chain) -> bytes:
    """A checkpoint that can be told from others."""
    return repr(state).encode()


def _manifest(state: Checkpoint | None) -> bytes:
    return state.manifest if state is not None else b""


@pytest.mark.parametrize("seed", range(4))
async def test_the_rules_and_the_stores_give_the_same_answers(make_store: Callable[[], Store], seed: int) -> None:
    """Any commits and raises, right ones and wrong ones: every answer of the table comes, each from both."""
    store, session = make_store(), fresh_session()
    try:
        made = await store.create(session, POLICY)
        pair = Pair(store, random.Random(seed), session, {0: made.nonce}, {(): real.EMPTY_ETAG})
        seen = set()
        await pair.raise_generation()
        for _ in range(STEPS):
            if pair.random.random() < 0.05:
                await pair.raise_generation()
            seen.add(await pair.commit())
        assert seen == set(Answer)
        assert pair.rewinds > 3
    finally:
        await store.close()
