"""Sessions and commits for tests of stores, in as few words as a test should need."""

import dataclasses
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.core.commits import Commit, CommitReply, Entry, chain
from orchestrator.core.ids import RANDOM_BYTES, lineage_of, session_id
from orchestrator.core.session import Checkpoint, Pin, Seed, SessionPolicy
from orchestrator.ports import Raised, Store

POLICY = SessionPolicy(tenant="acme", subject="ann", limits={"code_bytes_max": 10})


def fresh_session(sibling: str | None = None) -> str:
    """A session id nobody has; with a sibling, in its lineage."""
    session = session_id(secrets.token_bytes(RANDOM_BYTES), secrets.token_bytes(RANDOM_BYTES))
    if sibling is None:
        return session
    return f"ses_{lineage_of(sibling)}_{session.split('_')[2]}"


def chunk(data: bytes) -> tuple[bytes, bytes]:
    """A chunk with its content id."""
    return hashlib.sha256(data).digest(), data


def entry(seq: int, request_id: str | None = None, body: bytes = b"code") -> Entry:
    """One eval; without an id, the one that belongs to its seq."""
    name = request_id or f"request-{seq}"
    return Entry(seq, name, hashlib.sha256(body).digest(), b"sealed entry of " + name.encode())


@dataclass
class Writer:
    """The one who has a session's current generation, and knows what it committed last."""

    store: Store
    session: str
    generation: int
    nonce: str
    seq: int = 0
    etag: str = ""
    references: tuple[bytes, ...] = field(default=())

    def next_commit(
        self, *entries: Entry, chunks: Sequence[tuple[bytes, bytes]] = (), references: Sequence[bytes] | None = None
    ) -> Commit:
        """The commit that would be the next one; without entries, one eval."""
        entries = entries or (entry(self.seq + 1),)
        wanted = tuple(item for item, _ in chunks) if references is None else tuple(references)
        manifest = b"sealed manifest %d" % entries[-1].seq
        return Commit(
            session=self.session,
            generation=self.generation,
            nonce=self.nonce,
            base_etag=self.etag,
            etags=chain(self.etag, entries, manifest),
            entries=entries,
            manifest=manifest,
            references=wanted,
            chunks=tuple(chunks),
            last_event=10 * entries[-1].seq,
        )

    def accept(self, commit: Commit) -> None:
        """The commit was made."""
        self.seq, self.etag, self.references = commit.seq, commit.etag, commit.references

    async def commit(
        self, *entries: Entry, chunks: Sequence[tuple[bytes, bytes]] = (), references: Sequence[bytes] | None = None
    ) -> CommitReply:
        """Make the next commit; what the store answered."""
        commit = self.next_commit(*entries, chunks=chunks, references=references)
        reply = await self.store.commit(commit)
        if reply.answer.value == "OK":
            self.accept(commit)
        return reply

    def rewinding(self, to: Checkpoint, request_id: str | None = None) -> Commit:
        """The commit that goes back to a state."""
        return self.next_commit(entry(self.seq + 1, request_id), references=to.references)

    async def rewind(self, to: Checkpoint, owner: str = "front") -> CommitReply:
        """Go back to a state; with OK this one has the next generation."""
        commit, raised = self.rewinding(to), Raised(self.generation + 1, secrets.token_hex(16))
        reply = await self.store.rewind(commit, to.seq, raised, owner, 30.0)
        if reply.answer.value == "OK":
            self.accept(commit)
            self.generation, self.nonce = raised.generation, raised.nonce
        return reply

    async def state(self, at: int | str | None = None) -> Checkpoint:
        """A state that is there."""
        found = await self.store.checkpoint(self.session, at)
        assert found is not None
        return found

    async def pin(self, name: str, at: int | None = None) -> bool:
        """Keep a state, the last one unless told otherwise."""
        state = await self.state(at)
        return await self.store.pin(self.session, Pin(name, state.seq, state.etag))

    async def replaced(self, owner: str = "another") -> "Writer":
        """Whoever raises the generation next, reading what is stored afterwards."""
        return await claim(self.store, self.session, self.generation, owner)


async def claim(store: Store, session: str, seen: int, owner: str = "front") -> Writer:
    """Raise the generation and end the replacement at once."""
    raised = await store.raise_generation(session, seen, owner, 30.0)
    assert raised is not None
    assert await store.publish(session, raised, None)
    record = await store.read(session)
    assert record is not None
    return Writer(store, session, raised.generation, raised.nonce, record.seq, record.etag)


async def opened(store: Store, sibling: str | None = None) -> Writer:
    """A new session in the hands of a writer."""
    session = fresh_session(sibling)
    await store.create(session, POLICY)
    return await claim(store, session, 0)


def seed_of(state: Checkpoint) -> Seed:
    """What a fork of that state begins with."""
    return Seed(state.seq, state.etag, b"sealed for the fork: " + state.manifest, state.references)


async def resumed(store: Store, session: str, seen: int = 0) -> Writer:
    """Whoever raises the generation of a session that is there, with what its last state refers to."""
    writer = await claim(store, session, seen)
    state = await store.checkpoint(session)
    return dataclasses.replace(writer, references=state.references if state else ())
