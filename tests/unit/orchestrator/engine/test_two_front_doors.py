"""Two front doors serve one session at the same time: one order, one history, and either of them may go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.phase import Phase
from support.client import Envelope
from support.engine_stage import Client, Stage, two_doors
from support.runtimes import eventually

UNTIL_A_FILE = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('went')"
FOR_EVER = "import time\nwhile True: time.sleep(0.01)"
STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on', flush=True)\nwhile True: pass"


async def both(one: Stage, other: Stage, **opened: Any) -> tuple[Client, Client, str]:
    """A client on each, of the same session."""
    client, session = await one.opened(**opened)
    guest = other.connect()
    await guest.attach(session)
    await _linked(other, session)
    return client, guest, session


async def _linked(made: Stage, session: str) -> None:
    assert await eventually(lambda: made.live(session).phase is Phase.LINKED)


def _replacements(made: Stage) -> float:
    return sum(sample.value for family in made.metrics.replacements.collect() for sample in family.samples
               if sample.name.endswith("_total"))  # fmt: skip


def cursors(client: Client, type_: str = "stream") -> list[Envelope]:
    """What it saw, with the cursor."""
    return [{"cursor": e["cursor"], "id": e.get("id"), **e["payload"]} for e in client.events(type_)]


async def test_evals_of_both_go_into_one_order_and_one_history():
    """Every number once, every etag the same wherever it is asked for, and no worker is replaced."""
    async with two_doors() as (one, other):
        client, guest, session = await both(one, other)
        await client.eval("seen = []")
        results = []
        for n in range(12):
            code = {"code": f"seen.append({n}); print({n})", "stream": True}
            answer = await (client if n % 2 else guest).ask("eval", code)
            results.append({"id": answer["id"], **answer["payload"]})
        history = (await guest.ask("history"))["payload"]["entries"]

        assert [result["seq"] for result in results] == list(range(2, 14))
        assert (await client.eval("seen"))["output"] == str(list(range(12)))
        assert [(entry["seq"], entry["id"]) for entry in history[1:]] == [(r["seq"], r["id"]) for r in results]
        assert len({result["etag"] for result in results}) == 12
        assert (await one.store.read(session)).generation == 1
        assert cursors(client) == cursors(guest)
        assert "".join(event["text"] for event in cursors(guest)) == "".join(f"{n}\n" for n in range(12))


async def test_evals_of_both_at_once_lose_nothing_and_double_nothing():
    """They gather at the worker; whoever commits, each client gets its own results."""
    async with two_doors() as (one, other):
        client, guest, _ = await both(one, other)
        await client.eval("seen = []")
        sent = [
            (who, who.send("eval", {"code": f"seen.append({n}); {n}"}))
            for n, who in enumerate([client, guest, client, guest, guest, client, guest, client] * 2)
        ]
        results = [(await who.terminal(id_))["payload"] for who, id_ in sent]

        assert sorted(result["seq"] for result in results) == list(range(2, 18))
        assert {result["state"] for result in results} == {"committed"}
        in_order = [result["output"] for result in sorted(results, key=lambda result: result["seq"])]
        assert (await guest.eval("[str(n) for n in seen]"))["output"] == str(in_order)


async def test_a_new_session_is_found_by_the_other_while_its_worker_comes():
    """It attaches a moment after the reply to `open`: the worker is not replaced, and both are linked to it."""
    async with two_doors(pool_size=0) as (one, other):
        client, guest = one.connect(), other.connect()
        session = (await client.ask("open"))["payload"]["session"]
        attached, evaluated = await asyncio.gather(guest.attach(session), client.eval("n = 1"))
        await _linked(other, session)

        assert (await guest.eval("n"))["output"] == "1"
        assert (await one.store.read(session)).generation == 1
        assert attached["session"] == session and evaluated["seq"] == 1


async def test_one_id_sent_through_both_runs_once():
    """At the same time, and after it was committed by one of them."""
    async with two_doors() as (one, other):
        client, guest, _ = await both(one, other)
        await client.eval("n = 0")
        for who in (client, guest):
            who.send("eval", {"code": "n += 1; n"}, id_="once")
        first, second = [(await who.terminal("once"))["payload"] for who in (client, guest)]
        third = (await guest.ask("eval", {"code": "n += 1; n"}, id_="once"))["payload"]
        conflict = await guest.ask("eval", {"code": "n += 2; n"}, id_="once")

        assert first["output"] == second["output"] == third["output"] == "1"
        assert first["seq"] == second["seq"] == third["seq"] == 2
        assert first["etag"] == second["etag"] == third["etag"]
        assert conflict["payload"]["code"] == "conflict"
        assert (await client.eval("n"))["output"] == "1"


async def test_a_front_door_that_dies_is_not_noticed_by_the_other_ones_client():
    """Its eval goes on, and is committed by the one that is left; the client there waits for nothing."""
    async with two_doors() as (one, other):
        client, guest, session = await both(one, other)
        await client.eval("n = 1")
        folder = one.work_folder(session)
        client.send("eval", {"code": f"{UNTIL_A_FILE}\nn = 2", "stream": True})
        await client.ask("is_complete", {"code": "1"})
        one.abandon()
        waiting = guest.send("eval", {"code": "n"})
        (folder / "go").touch()

        assert (await guest.terminal(waiting))["payload"]["output"] == "2"
        assert "".join(event["text"] for event in cursors(guest)) == "went\n"
        assert guest.events("rolled_back") == [] and guest.events("gap") == []
        entries = (await guest.ask("history"))["payload"]["entries"]
        assert [entry["seq"] for entry in entries] == [1, 2, 3]


async def test_a_worker_that_dies_is_replaced_once():
    """Both see it; both clients hear the cause, and both go on with the same successor."""
    async with two_doors(worker_lost_ms=2000) as (one, other):
        client, guest, session = await both(one, other)
        await client.eval("n = 1")
        waiting = [(who, who.send("eval", {"code": FOR_EVER})) for who in (client, guest)]
        await client.ask("is_complete", {"code": "1"})
        one.kill_worker(session)
        codes = [(await who.terminal(id_))["payload"].get("code") for who, id_ in waiting]
        values = [(await who.eval("n"))["output"] for who in (client, guest)]

        assert codes == ["worker_died", "worker_died"]
        assert values == ["1", "1"]
        assert sum(_replacements(made) for made in (one, other)) == 1
        assert one.live(session).record.worker == other.live(session).record.worker


async def test_an_interrupt_reaches_the_eval_of_the_other_front_door():
    """And one that does not obey loses its worker, whoever dispatched it."""
    async with two_doors(limits={"interrupt_grace_s": 1}) as (one, other):
        client, guest, _ = await both(one, other)
        waiting = client.send("eval", {"code": FOR_EVER})
        await client.ask("is_complete", {"code": "1"})
        assert (await guest.ask("interrupt"))["payload"]["status"] == "interrupted"
        assert (await client.terminal(waiting))["payload"]["error"]["name"] == "KeyboardInterrupt"

        stubborn = (
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on', flush=True)\nwhile True: pass"
        )
        waiting = client.send("eval", {"code": stubborn, "stream": True})
        await guest.wait_for(lambda e: e["type"] == "stream")
        await guest.ask("interrupt")
        assert (await client.terminal(waiting))["payload"]["code"] == "interrupted"
        assert (await guest.eval("1"))["output"] == "1"
        assert _replacements(one) + _replacements(other) == 1


async def test_the_deadline_of_an_eval_is_held_when_its_front_door_is_gone():
    """The one that is left interrupts it."""
    async with two_doors(limits={"eval_timeout_s": 1}) as (one, other):
        client, guest, _ = await both(one, other)
        client.send("eval", {"code": f"n = 'begun'\n{FOR_EVER}"})
        await client.ask("is_complete", {"code": "1"})
        one.abandon()

        assert (await guest.eval("n"))["output"] == "'begun'"


async def test_parking_asks_the_worker_and_so_the_other_front_door():
    """One of them has seen no request for long, the other one's client works: the worker stays."""
    async with two_doors(sweep_interval_s=0.05) as (one, other):
        client, guest, session = await both(one, other, idle_timeout_s=1.5)
        for n in range(20):
            await guest.eval(f"n = {n}")
            await asyncio.sleep(0.1)
        assert (await one.store.read(session)).generation == 1

        assert await eventually(lambda: one.live(session).phase is Phase.NONE)
        assert await eventually(lambda: other.live(session).phase is Phase.NONE)
        record = await one.store.read(session)
        assert (record.generation, record.worker, record.cause) == (2, None, "parked")
        assert [e["payload"]["status"] for e in guest.events("status")][-1] == "parked"
        assert guest.events("rolled_back") == [] and client.events("rolled_back") == []
        assert [(await who.eval("n"))["output"] for who in (client, guest)] == ["19", "19"]


@pytest.mark.parametrize("times", range(3))
async def test_a_request_that_meets_a_worker_about_to_end_is_served_by_the_next(times: int):
    """Trace 7: idle check, dispatch through another front door, park. Nothing is lost and nothing is told as lost."""
    async with two_doors() as (one, other):
        client, guest, session = await both(one, other)
        await client.eval("n = 0")
        for turn in range(5):
            await eventually(lambda: one.live(session).phase is not Phase.CONNECTING)
            one.live(session).park(0.0)
            await asyncio.sleep(0.001 * times)
            result = await guest.eval("n += 1; n")
            assert (result["output"], result["state"]) == (str(turn + 1), "committed")
        assert guest.events("rolled_back") == []
        assert (await client.eval("n"))["output"] == "5"


async def test_a_worker_that_nobody_is_linked_to_is_attached_to():
    """Its front door died with an outcome uncommitted, and no client comes: another one commits it."""
    async with two_doors(sweep_interval_s=0.05, worker_lost_ms=200) as (one, other):
        client, session = await one.opened()
        await client.eval("n = 1")
        folder: Path = one.work_folder(session)
        client.send("eval", {"code": UNTIL_A_FILE})
        await client.ask("is_complete", {"code": "1"})
        one.abandon()
        (folder / "go").touch()

        async def is_committed() -> bool:
            record = await other.store.read(session)
            return record is not None and record.seq == 2

        assert await eventually(is_committed)
        assert other.live(session).phase is Phase.LINKED


async def test_a_worker_out_of_reach_for_one_front_door_only_is_not_replaced():
    """The other one is linked to it and says so: who can't reach it says `busy`, and the session goes on."""
    async with two_doors(sweep_interval_s=0.05, worker_lost_ms=400) as (one, other):
        client, guest, session = await both(one, other)
        await client.eval("n = 1")

        async def cut_off(address: object) -> None:
            raise OSError("as told")

        other.runtime.dial = cut_off  # type: ignore[method-assign, assignment]
        link = other.live(session).link
        assert link is not None and link._transport is not None
        link._transport.abort()
        answer = await guest.ask("eval", {"code": "n"})

        assert answer["payload"]["code"] == "busy" and answer["payload"]["retryable"]
        assert (await client.eval("n"))["output"] == "1"
        assert (await one.store.read(session)).generation == 1
