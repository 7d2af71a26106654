"""The traces at the end of durability.md, each against real front doors, workers and a real Redis.

They are the ways in which a looser wording lost or doubled something; `tests/model` walks the same ones in its own
terms. Trace 9 is about the shadow: see tests/unit/orchestrator/engine/test_takeovers.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.commits import Answer, Commit, CommitReply
from orchestrator.engine.phase import Phase
from orchestrator.stores.redis import RedisStore
from replwire.errors import WireError
from support.engine_stage import Client, Stage, two_doors
from support.redis_server import RedisServer, binaries
from support.runtimes import eventually

pytestmark = pytest.mark.redis


async def _nothing(commit: Commit) -> None:
    """No trick."""


class Door(RedisStore):
    """One front door's end of the store, with a moment before each commit and one after it, before its reply."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.before: Callable[[Commit], Awaitable[None]] = _nothing
        self.after: Callable[[Commit], Awaitable[None]] = _nothing
        self.answers: list[Answer] = []

    async def commit(self, commit: Commit) -> CommitReply:
        """See `Store`."""
        await self.before(commit)
        reply = await super().commit(commit)
        self.answers.append(reply.answer)
        await self.after(commit)
        return reply


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that syncs before it answers."""
    made = RedisServer(next(iter(binaries().values())), tmp_path)
    yield made
    made.kill()


@contextlib.asynccontextmanager
async def doors(server: RedisServer, **settings: Any) -> AsyncIterator[tuple[Stage, Stage, Door, Door]]:
    """Two front doors and their ends of the store."""
    stores = Door(server.url), Door(server.url)
    try:
        async with two_doors(stores=stores, **settings) as (one, other):
            yield one, other, *stores
    finally:
        for store in stores:
            await store.close()


async def both(one: Stage, other: Stage) -> tuple[Client, Client, str]:
    """A client on each, linked to one session's worker."""
    client, session = await one.opened()
    guest = other.connect()
    await guest.attach(session)
    await eventually(lambda: other.live(session).phase is Phase.LINKED)
    return client, guest, session


def _lost() -> WireError:
    return WireError("store_unavailable", "its reply was lost", retry_after_ms=100)


async def test_trace_1_an_id_of_before_the_worker_died_is_known_to_the_next_one(server: RedisServer) -> None:
    """Commit OK, worker killed, restored; the client repeats the id through another front door."""
    async with doors(server) as (one, other, _, _):
        client, guest, session = await both(one, other)
        await client.eval("n = 0")
        first = (await client.ask("eval", {"code": "n += 1; n"}, id_="once"))["payload"]
        one.kill_worker(session)
        again = (await guest.ask("eval", {"code": "n += 1; n"}, id_="once"))["payload"]

        assert (again["seq"], again["output"], again["etag"]) == (first["seq"], "1", first["etag"])
        assert (await guest.eval("n"))["output"] == "1"


async def test_trace_2_what_the_store_would_not_take_travels_with_the_next(server: RedisServer) -> None:
    """Eval n is refused, n+1 comes: one commit from n to n+1, and never a GAP for ever."""
    async with doors(server, commit_wait_ms=50) as (one, other, store, _):
        client, _, session = await both(one, other)
        await client.eval("n = 0")
        seen: list[int] = []

        async def too_much(commit: Commit) -> None:
            seen.append(len(commit.entries))
            if len(commit.entries) == 1:
                raise _lost()

        store.before = too_much
        ids = [client.send("eval", {"code": f"n += {step}"}) for step in (1, 10)]
        assert {(await client.terminal(id_))["payload"]["state"] for id_ in ids} <= {"kept", "committed"}
        assert await eventually(lambda: one.live(session).committer.seq == 3)

        assert seen[-1] == 2
        store.before = _nothing
        assert (await client.eval("n"))["output"] == "11"


async def test_trace_3_a_commit_whose_reply_was_lost_is_not_told_as_rolled_back(server: RedisServer) -> None:
    """Applied, its reply lost, the worker replaced, asked again: FENCED, and the record is the truth."""
    async with doors(server) as (one, other, store, _):
        client, guest, session = await both(one, other)
        await client.eval("n = 0")
        applied, go_on = asyncio.Event(), asyncio.Event()

        async def lose(commit: Commit) -> None:
            if not applied.is_set():
                applied.set()
                await go_on.wait()
                raise _lost()

        store.after = lose
        waiting = client.send("eval", {"code": "n = 1; n"})
        await applied.wait()
        other.live(session).replace_worker("worker_unresponsive", "a false suspicion")
        await eventually(lambda: other.live(session).phase is not Phase.CONNECTING)
        go_on.set()
        answer = (await client.terminal(waiting))["payload"]

        assert (answer["state"], answer["output"]) == ("committed", "1")
        assert client.events("rolled_back") == [] and guest.events("rolled_back") == []
        assert (await client.eval("n"))["output"] == "1"


async def test_trace_4_a_generation_number_that_is_used_again_fences_the_worker_of_before(server: RedisServer) -> None:
    """The store comes back with an older file and raises to the same number: nonce and base etag differ."""
    async with doors(server) as (one, other, store, _):
        client, session = await one.opened()
        await client.eval("n = 1")
        one.abandon()
        saved = server.folder.parent / "saved"
        await asyncio.to_thread(server.settle)
        await asyncio.to_thread(shutil.copytree, server.folder / "appendonlydir", saved)
        raised = await store.raise_generation(session, 1, "one", 30.0)
        assert raised is not None and raised.generation == 2
        server.kill()
        await asyncio.to_thread(shutil.rmtree, server.folder / "appendonlydir")
        await asyncio.to_thread(shutil.copytree, saved, server.folder / "appendonlydir")
        server.start()
        second = await store.raise_generation(session, 1, "other", 30.0)
        assert second is not None and second.generation == 2 and second.nonce != raised.nonce

        record = await store.read(session)
        assert record is not None
        committer = one.live(session).new_committer(record, ())
        commit = _commit_of(committer, raised.generation, raised.nonce)
        assert (await store.commit(commit)).answer is Answer.FENCED
        current = _commit_of(committer, second.generation, second.nonce, base_etag="another history")
        assert (await store.commit(current)).answer is Answer.GAP
        guest = other.connect()
        assert (await guest.attach(session))["seq"] == 1


def _commit_of(committer: Any, generation: int, nonce: str, **changes: str) -> Commit:
    """Eval 2, as a worker of this generation would have it committed."""
    from dataclasses import replace

    from orchestrator.core.commits import Checkpointed
    from orchestrator.core.outcomes import Outcome

    outcome = Outcome(2, "late", "eval", b"h" * 32, b"", "acme/ann", b"{}", {}, Checkpointed(b"m", ()), 0, 0)
    commit = committer._sealer.commit(committer.etag, (outcome,), {})
    return replace(commit, generation=generation, nonce=nonce, **changes)


async def test_trace_5_an_outcome_given_to_a_front_door_that_stands_still_is_committed_by_the_other(
    server: RedisServer,
) -> None:
    """Its link stays open and nothing comes of it: after `handover_ms` the outcome goes to the next one as well."""
    async with doors(server, handover_ms=300) as (one, other, store, _):
        client, guest, _ = await both(one, other)
        await client.eval("n = 0")
        stopped, go_on = asyncio.Event(), asyncio.Event()

        async def stand_still(commit: Commit) -> None:
            stopped.set()
            await go_on.wait()

        store.before = stand_still
        waiting = client.send("eval", {"code": "n = 1; n"})
        await stopped.wait()
        assert (await guest.eval("n"))["output"] == "1"
        go_on.set()
        answer = (await client.terminal(waiting))["payload"]

        assert (answer["state"], answer["output"], answer["seq"]) == ("committed", "1", 2) or answer["state"] == "kept"
        assert store.answers[-1] in (Answer.DUP, Answer.GAP)
        assert (await client.eval("n"))["output"] == "1"


async def test_trace_6_a_retry_between_the_answer_and_the_word_to_the_agent_is_answered(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It joins at the front door that has just committed, and at the other one."""
    async with doors(server) as (one, other, _, _):
        client, guest, session = await both(one, other)
        link = one.live(session).link
        assert link is not None
        late: list[tuple[int, tuple[bytes, ...]]] = []
        monkeypatch.setattr(link, "send_soon", lambda kind, parts=(): late.append((kind, parts)))
        first = (await client.ask("eval", {"code": "6 * 7"}, id_="once"))["payload"]
        joined = guest.send("eval", {"code": "6 * 7"}, id_="once")
        again = (await client.ask("eval", {"code": "6 * 7"}, id_="once"))["payload"]
        for kind, parts in late:
            link.send(kind, parts)

        assert (again["seq"], again["output"], again["etag"]) == (first["seq"], "42", first["etag"])
        assert (await guest.terminal(joined))["payload"]["etag"] == first["etag"]


async def test_trace_7_a_session_is_not_parked_over_a_request_of_another_front_door(server: RedisServer) -> None:
    """Idle check here, dispatch there, park: the worker is asked, and the request is served; nothing was lost."""
    async with doors(server) as (one, other, _, _):
        client, guest, session = await both(one, other)
        await client.eval("n = 0")
        for turn in range(1, 6):
            await eventually(lambda: one.live(session).phase is not Phase.CONNECTING)
            waiting = guest.send("eval", {"code": "n += 1; n"})
            one.live(session).park(0.0)
            result = (await guest.terminal(waiting))["payload"]
            assert (result.get("output"), result.get("state")) == (str(turn), "committed"), result
        assert guest.events("rolled_back") == []


async def test_trace_8_of_two_that_replace_at_once_the_slower_one_publishes_nothing(server: RedisServer) -> None:
    """It raised, took longer than its deadline, and another front door raised again: it takes that one's worker."""
    async with doors(server, replace_deadline_s=2.0, pool_size=0) as (one, other, store, _):
        client, guest, session = await both(one, other)
        await client.eval("n = 1")
        start, slow, go_on = one.runtime.start, asyncio.Event(), asyncio.Event()

        async def takes_long(spec: Any) -> Any:
            slow.set()
            await go_on.wait()
            return await start(spec)

        one.runtime.start = takes_long  # type: ignore[method-assign]
        link = other.live(session).link
        assert link is not None
        waiting = client.send("eval", {"code": "n"})
        await client.terminal(waiting)
        one.live(session).replace_worker("worker_unresponsive", "a false suspicion")
        late = client.send("eval", {"code": "n"})
        await slow.wait()
        # What the old worker had begun by then would end with it.
        assert await eventually(lambda: link.lost)
        try:
            assert (await guest.eval("n"))["output"] == "1"
        finally:
            go_on.set()

        assert (await client.terminal(late))["payload"]["output"] == "1"
        record = await store.read(session)
        assert record is not None and record.worker == other.live(session).record.worker
        assert one.live(session).record.worker == record.worker


@pytest.mark.parametrize("binary", list(binaries().values()), ids=list(binaries()))
async def test_trace_10_what_waitaof_says_covers_the_connection_that_wrote(binary: str, tmp_path: Path) -> None:
    """On a connection that wrote nothing it says "synced" at once: the commit's own connection asks, and DUP writes."""
    server = RedisServer(binary, tmp_path, appendfsync="everysec")
    try:
        async with doors(server, commit_wait_ms=20_000) as (one, other, _, _):
            client, _, _ = await both(one, other)
            results = [await client.eval(f"n = {n}") for n in range(3)]
            first = (await client.ask("eval", {"code": "n"}, id_="once"))["payload"]
            again = (await client.ask("eval", {"code": "n"}, id_="once"))["payload"]
            waits = b"WAITAOF" in server.command("COMMAND", "INFO", "waitaof").upper()

            assert {result["durable"] for result in results} == {"fsync" if waits else "memory"}
            assert again["seq"] == first["seq"]
    finally:
        server.kill()
