"""Intents: a trace in the store of what runs, and no second run of what may have acted outside."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.intents import Intent
from orchestrator.core.principal import SCOPES, Principal
from orchestrator.engine.intents import Intents
from orchestrator.engine.phase import Phase
from orchestrator.stores.memory import MemoryStore
from support.engine_stage import Client, Stage, stage
from support.runtimes import eventually

OUTSIDE = Principal("acme", "ann", frozenset({*SCOPES, "network"}))
WAITS = "import os, time\nn += 1\nwhile not os.path.exists('go'): time.sleep(0.01)"


def intents(made: Stage, session: str) -> dict[str, Intent]:
    """What the store has of them."""
    return made.store._tables.sessions[session].intents


async def opened(made: Stage, principal: Principal) -> tuple[Client, str]:
    """A client of this principal, with a session that has `n`."""
    client = made.connect(principal=principal)
    session: str = (await client.ask("open"))["payload"]["session"]
    await client.eval("n = 0")
    return client, session


async def crashed(made: Stage, principal: Principal) -> tuple[Client, str]:
    """Server and worker died while `once` ran; a client of the next server."""
    client, session = await opened(made, principal)
    client.send("eval", {"code": WAITS}, id_="once")
    assert await eventually(lambda: "once" in intents(made, session))
    made.abandon()
    made.kill_worker(session)
    await made.start()
    again = made.connect(principal=principal)
    await again.attach(session)
    return again, session


async def test_an_eval_has_an_intent_in_the_store_while_it_runs():
    """With the generation, the body's hash and the principal; its commit takes it away."""
    async with stage() as made:
        client, session = await opened(made, Principal("acme", "ann"))
        running = client.send("eval", {"code": WAITS}, id_="once")
        assert await eventually(lambda: "once" in intents(made, session))
        stored = intents(made, session)["once"]
        assert (stored.generation, stored.principal, len(stored.body_hash)) == (1, "acme/ann", 32)
        (made.work_folder(session) / "go").touch()
        await client.terminal(running)

        assert intents(made, session) == {}


async def test_what_ran_when_all_died_runs_again_where_nothing_leaves_the_sandbox():
    """Its effects were undone with the state."""
    async with stage() as made:
        client, session = await crashed(made, Principal("acme", "ann"))
        running = client.send("eval", {"code": WAITS}, id_="once")
        assert await eventually(lambda: made.live(session).link is not None)
        (made.work_folder(session) / "go").touch()

        assert (await client.terminal(running))["type"] == "result"
        assert (await client.eval("n"))["output"] == "1"


async def test_what_may_have_acted_outside_is_not_run_again():
    """It is `outcome_unknown` with the generation that was to run it; another body is a conflict, another id runs."""
    async with stage() as made:
        client, session = await crashed(made, OUTSIDE)
        unknown = await client.ask("eval", {"code": WAITS}, id_="once")
        again = await client.ask("eval", {"code": WAITS}, id_="once")
        other = await client.ask("eval", {"code": "1"}, id_="once")

        assert (unknown["type"], unknown["payload"]["code"]) == ("error", "outcome_unknown")
        assert unknown["payload"]["generation"] == again["payload"]["generation"] == 1
        assert other["payload"]["code"] == "conflict"
        assert (await client.eval("n"))["output"] == "0"
        assert (await client.ask("history"))["payload"]["entries"][-1]["generation"] == 2
        assert list(intents(made, session)) == ["once"]


async def test_a_committed_id_is_answered_from_the_store_there_too():
    """Its outcome is known."""
    async with stage() as made:
        client, session = await opened(made, OUTSIDE)
        first = await client.ask("eval", {"code": "n + 1"}, id_="once")
        made.abandon()
        made.kill_worker(session)
        await made.start()
        again = made.connect(principal=OUTSIDE)
        await again.attach(session)

        repeated = await again.ask("eval", {"code": "n + 1"}, id_="once")
        assert repeated["payload"]["etag"] == first["payload"]["etag"]


async def test_a_request_that_was_refused_may_be_sent_again():
    """It was never started: no trace of it stays."""
    async with stage() as made:
        client, session = await opened(made, OUTSIDE)
        refused = await client.ask("eval", {"code": "n", "if_seq": 9}, id_="once")
        assert refused["payload"]["code"] == "conflict"
        assert await eventually(lambda: intents(made, session) == {})
        made.kill_worker(session)
        assert await eventually(lambda: made.live(session).phase is Phase.NONE)

        assert (await client.ask("eval", {"code": "n"}, id_="once"))["payload"]["output"] == "0"


async def test_requests_keep_their_order_behind_the_gate():
    """Also those that need no intent."""
    async with stage() as made:
        client, _ = await opened(made, OUTSIDE)
        evals = [client.send("eval", {"code": f"n = n * 10 + {digit}; n"}) for digit in range(1, 6)]
        between = client.send("variables", {"prefix": "n"})
        evals.append(client.send("eval", {"code": "n = n * 10 + 6; n"}))
        outputs = [(await client.terminal(id_))["payload"]["output"] for id_ in evals]
        seen = (await client.terminal(between))["payload"]["variables"]

        assert outputs == ["1", "12", "123", "1234", "12345", "123456"]
        assert [item["repr"] for item in seen] == ["12345"]


async def test_with_the_store_away_nothing_that_acts_outside_is_started():
    """Its intent must be there first; the session goes on afterwards."""
    async with stage() as made:
        client, _ = await opened(made, OUTSIDE)
        made.store.is_away = True
        answer = await client.ask("eval", {"code": "n = 5"})
        made.store.is_away = False

        assert answer["payload"]["code"] == "store_unavailable" and answer["payload"]["retry_after_ms"]
        assert (await client.eval("n"))["output"] == "0"


class CountingStore(MemoryStore):
    """Writes down what it is told of intents."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[str]] = []
        self.withdrawn: list[str] = []

    async def intend(self, wanted):
        """See `Store`."""
        self.told += [[intent.request_id for intent in wanted]] if wanted else []
        return await super().intend(wanted)

    async def withdraw(self, wanted):
        """See `Store`."""
        self.withdrawn += [intent.request_id for intent in wanted]
        await super().withdraw(wanted)


@pytest.mark.parametrize("rounds_until_commit", [0, 1])
async def test_an_eval_that_is_committed_soon_costs_the_store_no_intent(rounds_until_commit):
    """One of more than a round of the timer is written, together with its neighbours, once."""
    async with stage(sweep_interval_s=3600.0) as made:
        client, session = await opened(made, Principal("acme", "ann"))
        running = [client.send("eval", {"code": WAITS}, id_=id_) for id_ in ("a", "b")]
        assert await eventually(lambda: len(made.live(session).requests) == 2)
        record, waiting = made.live(session).record, made.live(session).requests.all()
        store = CountingStore()
        own = Intents(store)
        for pending in waiting:
            own.add(record, pending)
        for _ in range(rounds_until_commit):
            own._tick()
        own.committed(session, "a")
        own._tick()
        own._tick()
        await own.close()
        (made.work_folder(session) / "go").touch()
        await client.terminal(running[1])

        assert store.told == [["b"]]


async def test_a_link_that_is_lost_behind_the_gate_costs_no_request_and_doubles_none():
    """What waited for its intent is sent over the next link, once."""
    async with stage() as made:
        client, session = await opened(made, OUTSIDE)
        held, intend = asyncio.Event(), made.store.intend

        async def slow(wanted):
            held.set()
            await go_on.wait()
            return await intend(wanted)

        go_on = asyncio.Event()
        made.store.intend = slow  # type: ignore[method-assign]
        sent = [client.send("eval", {"code": "n += 1; n"}), client.send("eval", {"code": "n += 1; n"})]
        await held.wait()
        lost = made.live(session).link
        assert lost is not None and lost._transport is not None
        lost._transport.abort()
        assert await eventually(lambda: made.live(session).link is not lost and made.live(session).link is not None)
        go_on.set()

        assert [(await client.terminal(id_))["payload"]["output"] for id_ in sent] == ["1", "2"]
        assert made.live(session).record.generation == 1


async def test_a_store_that_fails_in_a_way_of_its_own_answers_what_waits():
    """Nobody waits for ever, and the session goes on."""
    async with stage() as made:
        client, _ = await opened(made, OUTSIDE)
        intend = made.store.intend

        async def broken(wanted):
            made.store.intend = intend  # type: ignore[method-assign]
            raise RuntimeError("broken")

        made.store.intend = broken  # type: ignore[method-assign]
        first, second = client.send("eval", {"code": "n = 5"}), client.send("eval", {"code": "n"})

        assert (await client.terminal(first))["payload"]["code"] == "internal"
        assert (await client.terminal(second))["payload"]["output"] == "0"
