"""What is told of sessions without asking a worker."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.principal import Principal
from orchestrator.core.session import SessionPolicy
from replwire.errors import WireError
from support.commits import fresh_session
from support.engine_stage import stage_on
from support.hostile_agent import HostileRuntime, honest

ANN = Principal("acme", "ann")


async def test_a_look_starts_no_worker():
    """A session that nobody here has in hand stays parked, however often it is looked at."""
    async with stage_on(HostileRuntime(honest)) as made:
        session, overview = fresh_session(), made.engine.overview
        await made.store.create(session, SessionPolicy("acme", "ann", name="notes"))

        seen = await overview.session(ANN, session)
        page = await overview.page(ANN, 10, None)

        assert (seen["session"], seen["name"], seen["status"], seen["seq"]) == (session, "notes", "parked", 0)
        assert page == {"items": [seen], "next_cursor": None}
        assert made.engine._sessions.live == ()
        with pytest.raises(WireError, match="no eval of this id is known"):
            await overview.outcome(ANN, session, "e")


async def test_another_tenant_sees_what_a_stranger_sees():
    """The same words for a session of another's and for one that never was; and an empty list."""
    async with stage_on(HostileRuntime(honest)) as made:
        _, session = await made.opened()
        overview, mallory = made.engine.overview, Principal("evil", "mallory")

        said = []
        for named in (session, fresh_session()):
            for look in (overview.session(mallory, named), overview.outcome(mallory, named, "e")):
                with pytest.raises(WireError) as caught:
                    await look
                said.append((caught.value.code, caught.value.message))

        assert set(said) == {("not_found", "no such session")}
        assert (await overview.page(mallory, 10, None))["items"] == []


async def test_an_outcome_is_running_then_done():
    """By its id; the result is the stored one."""
    async with stage_on(HostileRuntime(honest)) as made:
        client, session = await made.opened()
        overview = made.engine.overview
        made.store.gate.clear()
        client.send("eval", {"code": "1"}, id_="e")
        async with asyncio.timeout(20):
            while (now := await overview.outcome(ANN, session, "e"))["status"] == "outcome_unknown":
                await asyncio.sleep(0.002)
        busy = await overview.session(ANN, session)
        made.store.gate.set()
        answer = await client.terminal("e")
        after = await overview.outcome(ANN, session, "e")

        assert (now, busy["status"]) == ({"id": "e", "status": "running"}, "busy")
        assert after["status"] == "done"
        assert after["result"]["output"] == answer["payload"]["output"]
        assert (after["result"]["seq"], after["result"]["state"]) == (1, "committed")


async def test_a_kept_result_says_that_it_is_kept():
    """It went out before its commit."""
    async with stage_on(HostileRuntime(honest)) as made:
        client, session = await made.opened(durability="async")
        made.store.gate.clear()
        await client.eval("1", timeout_s=5)
        request_id = next(e["id"] for e in client.received if e["type"] == "result")

        found = await made.engine.overview.outcome(ANN, session, request_id)
        made.store.gate.set()

        assert (found["status"], found["result"]["state"], found["result"]["durable"]) == ("done", "kept", "none")


async def test_an_id_that_is_not_known_while_a_worker_lives_is_unknown():
    """Another front door may have sent it."""
    async with stage_on(HostileRuntime(honest)) as made:
        _, session = await made.opened()

        assert (await made.engine.overview.outcome(ANN, session, "e"))["status"] == "outcome_unknown"


async def test_without_a_scope_to_look_nothing_is_told():
    """Not even whether the session is there."""
    async with stage_on(HostileRuntime(honest)) as made:
        with pytest.raises(WireError) as caught:
            await made.engine.overview.session(Principal("acme", "ann", frozenset({"files"})), fresh_session())
        assert caught.value.code == "forbidden"
