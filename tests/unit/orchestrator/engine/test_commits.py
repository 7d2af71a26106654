"""What the store answers to a commit, carried out: each row of the table in durability.md, and the store away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.core.commits import Answer, Checkpointed, Commit, CommitReply, Entry, chain
from orchestrator.core.outcomes import Outcome, ProtocolBreach
from orchestrator.core.session import Checkpoint, Record, SessionPolicy, Status
from orchestrator.engine.chunks import Chunks
from orchestrator.engine.commits import Committer
from orchestrator.engine.services import digest
from replwire.errors import WireError
from replwire.frames import CHUNK_BYTES_MAX
from support.engine_parts import services

RECORD = Record("ses_a", SessionPolicy("tenant", "me"), Status.OPEN, 0.0, 4, "nonce", 0, "", 0.0)
AFTER_ONE = chain("", [Entry(1, "id1", b"h" * 32, b"")], digest(b"m"))[0]
"""The etag of a store that has taken the first outcome and no other."""
Reply = Callable[[Commit], CommitReply]


class ScriptedStore:
    """Answers commits one after the other as the test says; then OK for ever."""

    def __init__(self, *replies: CommitReply | WireError | Reply) -> None:
        self.replies = list(replies)
        self.seen: list[Commit] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.state: Checkpoint | None = None

    async def checkpoint(self, session: str) -> Checkpoint | None:
        """What another front door may have committed."""
        return self.state

    async def commit(self, commit: Commit) -> CommitReply:
        """One scripted answer."""
        self.seen.append(commit)
        await self.gate.wait()
        reply = self.replies.pop(0) if self.replies else CommitReply(Answer.OK, "fsync")
        if isinstance(reply, WireError):
            raise reply
        return reply if isinstance(reply, CommitReply) else reply(commit)


class Owner:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple] = asyncio.Queue()

    def committed(self, outcomes, etags, durable):
        """Each eval with its etag."""
        self.told.put_nowait(("committed", [o.seq for o in outcomes], etags, durable))

    def committed_elsewhere(self, outcomes):
        """By another front door."""
        self.told.put_nowait(("elsewhere", [o.seq for o in outcomes]))

    def fenced(self):
        """The generation is over."""
        self.told.put_nowait(("fenced",))

    def breached(self, cause):
        """The worker's fault."""
        self.told.put_nowait(("breached", cause))

    def missed(self, seq, cause):
        """The worker's fault, or the store's."""
        self.told.put_nowait(("missed", seq, cause))

    def regressed(self, seq):
        """The store's fault."""
        self.told.put_nowait(("regressed", seq))

    def damaged(self):
        """What the store holds can't be."""
        self.told.put_nowait(("damaged",))

    def failed(self):
        """Our fault."""
        self.told.put_nowait(("failed",))


def outcome(seq: int, references: tuple[bytes, ...] = (), manifest: bytes = b"m") -> Outcome:
    """An eval that ended."""
    return Outcome(
        seq, f"id{seq}", "eval", b"h" * 32, b"s" * 32, "t/me", b"{}", {}, Checkpointed(manifest, references), 0, seq
    )


def made(*replies: CommitReply | WireError | Reply) -> tuple[ScriptedStore, Owner, Committer]:
    """A committer over a scripted store."""
    store, owner = ScriptedStore(*replies), Owner()
    committer = Committer(services(store=store), owner, RECORD)
    committer.start_from(0, "", ())
    return store, owner, committer


async def heard(owner: Owner) -> tuple:
    """The next word to the owner."""
    return await asyncio.wait_for(owner.told.get(), 5)


async def test_outcomes_that_gather_go_out_together():
    """While one commit is on its way, the others wait and share the next (trace 2: from..n)."""
    store, owner, committer = made()
    store.gate.clear()
    for seq in (1, 2, 3):
        committer.add(outcome(seq))
        await asyncio.sleep(0)
    store.gate.set()

    assert [(await heard(owner))[1], (await heard(owner))[1]] == [[1], [2, 3]]
    assert (committer.seq, committer.waiting) == (3, ())


async def test_each_commit_builds_on_the_one_before():
    """Base etag, generation and nonce are the record's; each result has an etag of its own."""
    store, owner, committer = made()
    committer.add(outcome(1))
    _, _, etags, durable = await heard(owner)
    committer.add(outcome(2))
    await heard(owner)

    assert durable == "fsync"
    assert [commit.base_etag for commit in store.seen] == ["", etags[0]]
    assert {(commit.generation, commit.nonce) for commit in store.seen} == {(4, "nonce")}


async def test_a_lost_reply_is_asked_again_and_its_dup_is_our_own_success():
    """Unknown answer, then DUP with the same seqs: committed, told once."""
    store, owner, committer = made(
        WireError("store_unavailable", "no reply"),
        lambda c: CommitReply(Answer.DUP, "fsync", ((1, b"x"),), c.seq, c.etag),
    )
    committer.add(outcome(1))

    assert (await heard(owner))[:2] == ("committed", [1])
    assert store.seen[0].etags == store.seen[1].etags
    assert owner.told.empty()


async def test_a_dup_under_another_seq_is_a_breach():
    """A worker that numbers a known id again."""
    _, owner, committer = made(CommitReply(Answer.DUP, "fsync", stored=((7, b"x"),)))
    committer.add(outcome(1))

    assert (await heard(owner))[0] == "breached"


async def test_part_of_a_batch_that_was_applied_is_not_sent_twice():
    """GAP after a lost reply: what the store has is told, the rest builds on the store's etag."""
    store, owner, committer = made(CommitReply(Answer.GAP, seq=1, etag=AFTER_ONE))
    store.gate.clear()
    committer.add(outcome(1))
    committer.add(outcome(2))
    store.gate.set()

    assert (await heard(owner))[1:3] == ([1], (AFTER_ONE,))
    assert (await heard(owner))[1] == [2]
    assert store.seen[1].base_etag == AFTER_ONE


async def test_a_store_behind_a_confirmed_commit_is_told():
    """GAP with less than we know: session_regressed, and nothing more is sent."""
    store, owner, committer = made(CommitReply(Answer.OK, "fsync"), CommitReply(Answer.GAP, seq=0, etag=""))
    committer.add(outcome(1))
    await heard(owner)
    committer.add(outcome(2))

    assert await heard(owner) == ("regressed", 0)
    assert len(store.seen) == 2


@pytest.mark.parametrize(("answer", "said"), [(Answer.FENCED, "fenced"), (Answer.CONFLICT, "breached")])
async def test_an_answer_that_ends_the_generation_ends_the_commits(answer, said):
    """Nothing is sent after it."""
    store, owner, committer = made(CommitReply(answer))
    committer.add(outcome(1))

    assert (await heard(owner))[0] == said
    assert len(store.seen) == 1


async def test_missing_chunks_are_sent_again_and_then_called_a_breach():
    """The store may have swept them; a worker that cannot send them breaks the protocol."""
    missing = CommitReply(Answer.MISSING, missing=(b"c" * 32,))
    store, owner, committer = made(missing, missing, missing)
    committer.add(outcome(1))

    assert (await heard(owner))[0] == "breached"
    assert len(store.seen) == 3


async def test_while_the_store_is_away_nothing_is_called_committed():
    """It is said to be away, tried again, and committed when it is back."""
    _, owner, committer = made(*(WireError("store_unavailable", "away") for _ in range(2)))
    committer.add(outcome(1))
    await asyncio.sleep(0.02)
    assert committer.store_is_away and owner.told.empty()

    assert (await heard(owner))[:2] == ("committed", [1])
    assert not committer.store_is_away


async def test_only_chunks_that_are_referred_to_are_sealed_and_sent_once():
    """A later state refers to what is stored without sending it again."""
    store, owner, committer = made()
    one, two = b"1" * 100, b"2" * 100
    committer.take_chunk(digest(one), one)
    committer.add(outcome(1, (digest(one),)))
    await heard(owner)
    committer.take_chunk(digest(two), two)
    committer.add(outcome(2, (digest(one), digest(two))))
    await heard(owner)

    assert [[item for item, _ in commit.chunks] for commit in store.seen] == [[digest(one)], [digest(two)]]
    assert one not in b"".join(data for commit in store.seen for _, data in commit.chunks)


async def test_what_a_worker_may_not_do_is_a_breach():
    """A chunk that is not what its id says, a reference to nothing."""
    _, _, committer = made()

    with pytest.raises(ProtocolBreach, match="content"):
        committer.take_chunk(b"x" * 32, b"y")
    with pytest.raises(ProtocolBreach, match="chunks"):
        committer.add(outcome(1, (b"x" * 32,)))


async def test_a_number_that_the_store_knows_nothing_of_is_not_committed():
    """The agent drops only what was confirmed: it lies, or the store has lost what another front door had committed."""
    _, owner, committer = made()
    committer.add(outcome(2))

    assert (await heard(owner)) == ("missed", 0, "eval 2 came after eval 0")


async def test_what_another_front_door_committed_is_built_upon():
    """It had eval 1, this one gets eval 2: base etag and references are those of the store, not those of before."""
    store, owner, committer = made()
    store.state = Checkpoint(1, 4, b"sealed", (b"c" * 32,), "of one")
    committer.add(outcome(2, (b"c" * 32,)))

    assert (await heard(owner))[:2] == ("committed", [2])
    assert [(commit.base_etag, commit.entries[0].seq) for commit in store.seen] == [("of one", 2)]


async def test_a_reference_that_neither_base_nor_worker_brought_is_a_breach_after_catching_up_too():
    """A worker may refer to the state that its commit builds on, and to nothing else."""
    store, owner, committer = made()
    store.state = Checkpoint(1, 4, b"sealed", (), "of one")
    committer.add(outcome(2, (b"c" * 32,)))

    assert (await heard(owner))[0] == "breached"
    assert store.seen == []


async def test_what_another_front_door_was_faster_with_is_told_as_its():
    """The whole batch is known, but in another commit: its etags are not ours to tell."""
    store, owner, committer = made(lambda c: CommitReply(Answer.DUP, "fsync", ((1, b"x"),), 2, "of two"))
    committer.add(outcome(1))
    assert await heard(owner) == ("elsewhere", [1])

    store.state = Checkpoint(2, 4, b"sealed", (), "of two")
    committer.add(outcome(3))
    assert (await heard(owner))[:2] == ("committed", [3])
    assert store.seen[-1].base_etag == "of two"


async def test_a_gap_that_another_front_door_made_is_no_breach():
    """It committed eval 1 alone, so that its etag differs from what our batch of two would have given."""
    store, owner, committer = made()
    committer.add(outcome(1))
    committer.add(outcome(2))
    store.state = Checkpoint(1, 4, b"sealed", (), "theirs")
    store.replies = [CommitReply(Answer.GAP, seq=1, etag="theirs")]

    assert await heard(owner) == ("elsewhere", [1])
    assert (await heard(owner))[:2] == ("committed", [2])
    assert store.seen[-1].base_etag == "theirs"


async def test_a_store_that_went_back_is_noticed_also_when_others_commit():
    """What we know to be committed must be there."""
    store, owner, committer = made()
    committer.start_from(3, "of three", ())
    store.state = Checkpoint(2, 4, b"sealed", (), "of two")
    committer.add(outcome(5))

    assert await heard(owner) == ("regressed", 2)


async def test_an_outcome_that_is_offered_again_is_taken_once():
    """The agent offers until it hears a confirmation."""
    store, owner, committer = made()
    assert committer.add(outcome(1))
    assert not committer.add(outcome(1))
    await heard(owner)

    assert not committer.add(outcome(1))
    assert [len(commit.entries) for commit in store.seen] == [1]


async def test_a_store_with_another_history_of_the_same_length_is_told():
    """It lost what was confirmed and took something else: no worker's fault."""
    _, owner, committer = made(CommitReply(Answer.OK, "fsync"), CommitReply(Answer.GAP, seq=1, etag="another"))
    committer.add(outcome(1))
    await heard(owner)
    committer.add(outcome(2))

    assert await heard(owner) == ("regressed", 1)


async def test_a_part_that_is_not_ours_is_not_told_as_committed():
    """The store is where our batch could have led it, by another chain."""
    store, owner, committer = made(*[CommitReply(Answer.GAP, seq=1, etag="another")] * 3)
    store.gate.clear()
    committer.add(outcome(1))
    committer.add(outcome(2))
    store.gate.set()

    assert (await heard(owner))[0] == "breached"


async def test_the_same_id_twice_and_chunks_without_end_are_a_breach(monkeypatch):
    """A hostile worker has valid stamps for what it was really asked: once."""
    _, _, committer = made()
    twice = outcome(2)
    twice.request_id = "id1"
    committer.add(outcome(1))
    with pytest.raises(ProtocolBreach):
        committer.add(twice)
    monkeypatch.setattr("orchestrator.engine.chunks.UNCOMMITTED_BYTES_MAX", 25)
    for data in (b"a" * 10, b"b" * 10, b"a" * 10):
        committer.take_chunk(digest(data), data)
    with pytest.raises(ProtocolBreach):
        committer.take_chunk(digest(b"c" * 10), b"c" * 10)
    with pytest.raises(ProtocolBreach):
        committer.take_chunk(digest(bytes(CHUNK_BYTES_MAX + 1)), bytes(CHUNK_BYTES_MAX + 1))


def test_who_may_have_a_larger_state_may_send_more(monkeypatch):
    """By as much as his policy's `state_bytes_max` is over the default."""
    monkeypatch.setattr("orchestrator.engine.chunks.UNCOMMITTED_BYTES_MAX", 25)
    chunks = Chunks(more_bytes=10)
    for data in (b"a" * 20, b"b" * 15):
        chunks.take(digest(data), data)
    with pytest.raises(ProtocolBreach):
        chunks.take(digest(b"c"), b"c")


async def test_a_fault_of_ours_is_told_and_not_waited_for_for_ever():
    """Whatever a store raises that is no answer."""

    def broken(commit):
        raise RuntimeError("as told")

    _, owner, committer = made(broken)
    committer.add(outcome(1))

    assert await heard(owner) == ("failed",)


async def test_a_store_that_holds_nonsense_is_not_asked_again():
    """It answered: another try would hear the same, and the client would wait for ever."""
    store, owner, committer = made(WireError("internal", "the store holds something damaged: DAMAGED", cause="damaged"))
    committer.add(outcome(1))

    assert await heard(owner) == ("damaged",)
    assert (len(store.seen), committer.store_is_away) == (1, False)
    assert [item.seq for item in committer.waiting] == [1]
