"""Places against a naive model: the twin and the server refuse the same, and what they refuse leaves nothing behind."""

import asyncio
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.session import OpenId, Seed
from orchestrator.stores.memory import MemoryStore
from orchestrator.stores.redis import RedisStore
from replwire.errors import WireError
from support.commits import POLICY, chunk, fresh_session
from support.redis_server import binaries

pytestmark = pytest.mark.redis

SERVERS = binaries() or {"redis-server": ""}
DATA, ABSENT = chunk(b"data"), chunk(b"nobody has it")
MOST = st.integers(0, 4)
ID = st.none() | st.sampled_from(["a", "b"])
"""Of the `open`, or none: one that comes again is the session that it opened."""

STEP = st.one_of(
    st.tuples(st.just("create"), MOST, ID),
    st.tuples(st.sampled_from(["plant", "plant what is absent"]), MOST, st.none()),
    st.tuples(st.just("fork"), MOST, st.integers(0, 9)),
    st.tuples(st.just("end"), st.just(0), st.integers(0, 9)),
)


class Model:
    """A tenant in one store, with what ought to be there."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.policy = dataclasses.replace(POLICY, tenant=fresh_session())
        self.open: list[str] = []
        self.planted: list[str] = []
        self.by_id: dict[str, str] = {}

    async def step(self, kind: str, most: int, more: Any) -> str:
        """What became of it, in a word."""
        if kind == "end":
            if self.open:
                await self.store.end(self.open.pop(more % len(self.open)))
            return "ended"
        known, fits = kind == "create" and more in self.by_id, len(self.open) < most
        try:
            made = await self.made(kind, most, more)
        except WireError as error:
            assert (error.code, fits or known) == ("quota_exceeded", False)
            assert (error.details["max"], error.details["open"]) == (most, len(self.open))
            return error.code
        if known:
            assert made is not None and made.session == self.by_id[more]
            return "known"
        assert fits
        if made is not None:
            self.open.append(made.session)
        return "made" if made is not None else "nothing"

    async def made(self, kind: str, most: int, more: Any) -> Any:
        """The record that came of it."""
        session = fresh_session()
        if kind == "create":
            opened = OpenId(self.policy.tenant, "ann", more, b"h" * 32) if more else None
            made = await self.store.create(session, self.policy, opened, sessions_max=most)
            if more:
                self.by_id[more] = made.session
            return made
        seed = Seed(1, "e", b"manifest", ((DATA if kind != "plant what is absent" else ABSENT)[0],))
        parents = [parent for parent in self.planted if parent in self.open]
        if kind == "fork" and parents:
            parent = parents[more % len(parents)]
            made = await self.store.fork(parent, 1, fresh_session(parent), self.policy, seed, sessions_max=most)
        else:
            await self.store.put(session, [DATA])
            made = await self.store.plant(session, self.policy, seed, sessions_max=most)
        if made is not None:
            self.planted.append(made.session)
        return made

    async def compare(self) -> None:
        """The tenant's list is what is open."""
        records, _ = await self.store.sessions_of(self.policy.tenant, None, 100)
        assert {record.session for record in records} == set(self.open)


async def _played(url: str, steps: Sequence[tuple[str, int, Any]]) -> None:
    stores = (MemoryStore(), RedisStore(url))
    models = [Model(store) for store in stores]
    for step, model in itertools.product(steps, models):
        await model.step(*step)
    for model in models:
        await model.compare()
    await stores[1].close()


def test_any_steps_are_refused_as_a_count_would_refuse_them(shared_servers):
    """Creates, repeated ones, copies and ends in any order, by callers of any quota."""
    url = shared_servers(next(iter(SERVERS))).url

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEP, max_size=25))
    def play(steps: list[tuple[str, int, Any]]) -> None:
        asyncio.run(_played(url, steps))

    play()
