"""A large state on its way back: chunks in any order, one that is absent or forged, a server that was overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from orchestrator.engine.phase import Phase
from orchestrator.engine.stored_state import CHUNKS_AT_ONCE
from support.engine_stage import Client, FlakyStore, Stage, stage
from support.runtimes import eventually

LARGE = "import os\ndata = os.urandom(6_000_000)\ntotal = sum(data)"
Found = Mapping[bytes, bytes]


class SlowFirst:
    """In place of a store's `chunks`: the first call is answered when all the others have been; `change` sees what each
    one found."""

    def __init__(self, store: FlakyStore, change: Callable[[Found], Found] = lambda found: found) -> None:
        self.asked: list[int] = []
        self._chunks = store.chunks
        self._change = change
        self._others = asyncio.Event()

    async def __call__(self, session: str, references: Sequence[bytes]) -> Found:
        self.asked.append(len(references))
        is_first = len(self.asked) == 1
        found = await self._chunks(session, references)
        if is_first:
            await self._others.wait()
        elif len(references) < CHUNKS_AT_ONCE:
            self._others.set()
        return self._change(found)


async def _large(made: Stage) -> Client:
    client, session = await made.opened()
    await client.eval(LARGE)
    made.kill_worker(session)
    assert await eventually(lambda: made.live(session).phase is Phase.NONE)
    return client


async def test_chunks_are_sent_as_they_come(monkeypatch: pytest.MonkeyPatch):
    """In pieces, the first ones last; and all of it is there."""
    async with stage() as made:
        client = await _large(made)
        reads = SlowFirst(made.store)
        monkeypatch.setattr(made.store, "chunks", reads)

        assert (await client.eval("total == sum(data), len(data)"))["output"] == "(True, 6000000)"
        assert len(reads.asked) > 2 and max(reads.asked) == CHUNKS_AT_ONCE


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda found: dict(list(found.items())[1:]), "missing"),
        (lambda found: {item: sealed[:-1] + bytes([sealed[-1] ^ 1]) for item, sealed in found.items()}, "integrity"),
    ],
    ids=["a chunk is not there", "a chunk was changed"],
)
async def test_what_is_not_as_it_was_kept_is_told(change: Any, cause: str, monkeypatch: pytest.MonkeyPatch):
    """Although a worker has got a part of it by then: that one is ended, and no second one is spent."""
    async with stage(pool_size=2) as made:
        client = await _large(made)
        with monkeypatch.context() as patch:
            patch.setattr(made.store, "chunks", SlowFirst(made.store, change))
            answer = await client.ask("eval", {"code": "1"})

        assert (answer["payload"]["code"], answer["payload"]["cause"]) == ("restore_failed", cause)
        assert await eventually(lambda: made.engine._sessions.workers_ready == 2)
        assert len(await made.runtime.list_workers()) == 2
        assert (await client.eval("total == sum(data)"))["output"] == "True"


async def test_a_server_that_was_overtaken_meanwhile_tells_nothing(monkeypatch: pytest.MonkeyPatch):
    """Another one has raised the session and let go of chunks: no failure, the session is asked about again."""
    async with stage() as made:
        client = await _large(made)
        store, chunks = made.store, made.store.chunks
        overtaken = asyncio.Event()

        async def raised(session: str, references: Sequence[bytes]) -> Found:
            if not overtaken.is_set():
                overtaken.set()
                record = await store.read(session)
                assert record is not None
                await store.raise_generation(session, record.generation, record.owner, 0.01)
                return {}
            return await chunks(session, references)

        monkeypatch.setattr(store, "chunks", raised)

        assert (await client.eval("total == sum(data)"))["output"] == "True"
        assert overtaken.is_set() and not client.events("error")
