"""Workers that die, stores that are away or come back empty: everybody is told, nothing leaks, the session goes on."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace

import pytest

from orchestrator.engine.phase import Phase
from orchestrator.engine.sweeper import ROUNDS_BETWEEN_STORE_SWEEPS
from replwire.errors import WireError
from support.engine_stage import Stage, scripted_worker, stage, stage_on
from support.hostile_agent import HostileRuntime, honest
from support.runtimes import eventually

RECEIPT = {"wall_s": 0.0, "cpu_s": 0.0, "peak_memory_bytes": 0}
POISON = f"reply.clear(); reply.update(output=None, error=None, receipt={RECEIPT}); done = (b'bad', b'')"
FOR_EVER = "print('on', flush=True)\nwhile True: pass"


async def _workers(made: Stage) -> int:
    return len(await made.runtime.list_workers())


async def test_a_worker_that_dies_while_the_store_is_away_leaves_the_outcome_unknown():
    """What was sent may have run, and nobody can be asked; the session goes on when the store is back."""
    async with stage(worker_lost_ms=300) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        running = client.send("eval", {"code": FOR_EVER, "stream": True})
        await client.wait_for(lambda e: e["type"] == "stream")
        made.store.is_away = True
        made.kill_worker(session)
        answer = await client.terminal(running)
        made.store.is_away = False

        assert (answer["payload"]["code"], answer["payload"]["retryable"]) == ("outcome_unknown", False)
        assert (await client.eval("n"))["output"] == "1"


async def test_a_kept_result_that_was_lost_is_told_as_rolled_back_and_its_number_is_used_again():
    """The store was away when the worker died: the next eval of that number is answered like any other."""
    async with stage(worker_lost_ms=300, commit_wait_ms=50) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        made.store.is_away = True
        assert (await client.eval("n = 2"))["state"] == "kept"
        made.kill_worker(session)
        await eventually(lambda: made.live(session).phase is Phase.NONE)
        made.store.is_away = False
        answer = await client.eval("n")

        assert (answer["output"], answer["seq"], answer["state"]) == ("1", 2, "committed")
        assert [event["payload"]["to"] for event in client.events("rolled_back")] == [1]
        assert client.events("committed") == []


async def test_a_commit_whose_reply_was_lost_with_its_worker_is_not_told_as_rolled_back():
    """The store has it: the result that waited is `committed`, with the etag that the store has (trace 3)."""
    async with stage(worker_lost_ms=300) as made:
        client, session = await made.opened()
        commit, reached = made.store.commit, asyncio.Event()

        async def reply_lost(wanted):
            await commit(wanted)
            reached.set()
            await asyncio.Event().wait()

        made.store.commit = reply_lost  # type: ignore[method-assign]
        waiting = client.send("eval", {"code": "n = 1; n"})
        await reached.wait()
        made.store.commit = commit  # type: ignore[method-assign]
        made.kill_worker(session)
        answer = (await client.terminal(waiting))["payload"]

        assert (answer["state"], answer["output"]) == ("committed", "1")
        assert answer["etag"] == (await made.store.read(session)).etag
        assert client.events("rolled_back") == []
        assert (await client.eval("n"))["output"] == "1"


async def test_a_store_that_lost_the_session_ends_it_with_its_worker():
    """Never an empty session of the same id, never a worker that nobody has."""
    async with stage(pool_size=0) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        made.store._tables.sessions.clear()
        answer = await client.ask("eval", {"code": "n"})
        again = await client.ask("eval", {"code": "n"})

        assert (answer["payload"]["code"], again["payload"]["code"]) == ("session_gone", "session_gone")
        assert await eventually(lambda: _is_zero(made))
        assert (await made.connect().ask("attach", {"session": session}))["payload"]["code"] == "not_found"


async def _is_zero(made: Stage) -> bool:
    return await _workers(made) == 0


async def test_a_session_that_is_closed_while_its_worker_comes_up_leaves_no_worker():
    """In the queue of the pool, or half restored."""
    async with stage(pool_size=0) as made:
        start, go_on = made.runtime.start, asyncio.Event()

        async def held(spec):
            await go_on.wait()
            return await start(spec)

        made.runtime.start = held  # type: ignore[method-assign]
        for _ in range(2):
            client = made.connect()
            await client.ask("open")
            await client.wait_for(lambda e: "position" in e["payload"])
            await client.ask("close")
        go_on.set()
        assert await eventually(lambda: made.engine._sessions.workers_ready == 1)
        client = made.connect()
        await client.ask("open")
        await client.ask("close")

        assert await eventually(lambda: _as_many_as_ready(made))


async def _as_many_as_ready(made: Stage) -> bool:
    return await _workers(made) == made.engine._sessions.workers_ready


async def test_a_session_closed_in_the_middle_of_its_claim_leaves_no_worker():
    """The worker was taken and has not answered yet."""
    held = asyncio.Event()

    class Slow(HostileRuntime):
        async def dial(self, address):
            held.set()
            await asyncio.Event().wait()

    runtime = Slow(honest)
    async with stage_on(runtime, pool_size=0) as made:
        client = made.connect()
        await client.ask("open")
        await held.wait()
        await client.ask("close")

        assert await eventually(lambda: not runtime.workers and len(runtime.stopped) == 1)


async def test_workers_that_died_in_the_pool_are_nobodys_failure():
    """More of them than a restore may cost."""
    async with stage(pool_size=3, refill_at_once=3) as made:
        assert await eventually(lambda: made.engine._sessions.workers_ready == 3)
        for process in made.runtime._processes.values():  # type: ignore[attr-defined]
            process.kill()
            process.wait()
        client, _ = await made.opened()

        assert (await client.eval("1"))["output"] == "1"


async def test_a_checkpoint_that_kills_its_workers_is_restore_failed_after_two():
    """A poison pill: neither a crash loop nor a `busy` for ever."""
    async with stage(scripted_worker) as made:
        client, session = await made.opened()
        await client.eval(POISON)
        made.kill_worker(session)
        await eventually(lambda: made.live(session).phase is Phase.NONE)
        answer = await client.ask("eval", {"code": ""})

        assert answer["payload"]["code"] == "restore_failed"


async def test_an_id_table_that_fits_into_no_frame_is_restored():
    """A session that was busy all day must not be lost to its own history."""
    async with stage() as made:
        client, session = await made.opened()
        first = await client.ask("eval", {"code": "1 + 1"}, id_="x" * 128)
        row = (await made.store.known_ids(session))[0]

        async def a_busy_day(session):
            return [type(row)(f"{n:0128}", row.body_hash, 1) for n in range(40_000)] + [row]

        made.store.known_ids = a_busy_day  # type: ignore[method-assign]
        made.kill_worker(session)
        await eventually(lambda: made.live(session).phase is Phase.NONE)
        again = await client.ask("eval", {"code": "1 + 1"}, id_="x" * 128)

        assert again["payload"]["seq"] == first["payload"]["seq"] == 1
        assert (await client.ask("eval", {"code": "2"}, id_=f"{39_999:0128}"))["payload"]["code"] == "conflict"


async def test_strangers_cost_nothing_and_room_is_kept():
    """Ids that nobody has leave no trace; beyond `sessions_max` an attach is `capacity`, like an open."""
    async with stage(sessions_max=1) as made:
        client, session = await made.opened()
        await client.eval("1")
        made.abandon()
        await made.start()
        other = made.connect()
        unknown = session[:-1] + ("a" if session[-1] != "a" else "b")
        assert (await other.ask("attach", {"session": unknown}))["payload"]["code"] == "not_found"
        assert made.engine._sessions.live == ()
        await other.ask("open")

        assert (await made.connect().ask("attach", {"session": session}))["payload"]["code"] == "capacity"


async def test_while_the_store_is_away_nothing_new_is_started():
    """It died while the session was idle: the next round knows, before anything is dispatched."""
    async with stage(sweep_interval_s=0.05) as made:
        client, _ = await made.opened()
        await client.eval("n = 1")
        made.store.is_away = True
        await eventually(lambda: made.engine._services.store_is_away)
        refused = await client.ask("eval", {"code": "n = 2"})
        made.store.is_away = False
        await eventually(lambda: not made.engine._services.store_is_away)

        assert refused["payload"]["code"] == "store_unavailable" and refused["payload"]["retry_after_ms"]
        assert (await client.eval("n"))["output"] == "1"


async def test_orphans_are_reaped_also_when_the_store_was_away_at_the_start():
    """The workers of the front door before; those of the pool are not orphans."""
    async with stage(sweep_interval_s=0.05) as made:
        assert await eventually(lambda: made.engine._sessions.workers_ready == 1)
        orphan = (await made.runtime.list_workers())[0]
        made.store.is_away = True
        await made.start()
        assert await eventually(lambda: made.engine._sessions.workers_ready == 1)
        assert orphan in await made.runtime.list_workers()
        made.store.is_away = False

        assert await eventually(lambda: _lacks(made, orphan))
        assert (await (await made.opened())[0].eval("1"))["output"] == "1"


async def _lacks(made: Stage, worker: str) -> bool:
    return worker not in await made.runtime.list_workers()


@pytest.mark.parametrize("skew_s", [-1e6, 1e6])
async def test_s24_a_session_without_a_front_door_ends_after_its_time_whatever_the_stores_clock_says(skew_s):
    """Implicit ones; a store whose clock is days off ends none of them early and none never."""
    limits = {"implicit_session_ttl_s": 1}
    async with stage(limits=limits) as made:
        made.store._now = lambda: skew_s
        client = made.connect()
        await client.eval("1")
        (session,) = made.engine._sessions.live
        await made.start()
        sweeper = made.engine._sweeper
        await sweeper._round(ROUNDS_BETWEEN_STORE_SWEEPS)
        assert (await made.store.read(session.id)).status.value == "open"
        await asyncio.sleep(1.1)
        await sweeper._round(ROUNDS_BETWEEN_STORE_SWEEPS)

        assert (await made.store.read(session.id)).status.value == "closed"


async def test_a_front_door_that_drains_begins_nothing_and_commits_what_it_told():
    """Also results that went out before their commit."""
    async with stage() as made:
        client, session = await made.opened(durability="async")
        made.store.gate.clear()
        assert (await client.eval("n = 1"))["state"] == "kept"
        draining = asyncio.create_task(made.engine.drain(10))
        await asyncio.sleep(0)
        refused = await client.ask("eval", {"code": "n = 2"})
        assert (await client.ask("ping"))["type"] == "pong"
        made.store.gate.set()
        await draining

        assert refused["payload"]["code"] == "draining" and refused["payload"]["retry_after_ms"]
        assert (await made.store.read(session)).seq == 1


async def test_what_the_engine_does_is_counted():
    """Workers by status, starts, commits, deaths: no metric stands still."""
    async with stage(scripted_worker) as made:
        client, session = await made.opened()
        await client.eval(f"reply.clear(); reply.update(output='1', error=None, receipt={RECEIPT})")
        assert await eventually(lambda: made.engine._sessions.workers_ready == 1)
        before = made.metrics.render().decode()
        made.kill_worker(session)
        await eventually(lambda: made.live(session).phase is Phase.NONE)
        after = made.metrics.render().decode()

    for line in (
        'bascule_workers{status="ready"} 1.0',
        'bascule_workers{status="claimed"} 1.0',
        "bascule_commit_seconds_count 1.0",
    ):  # fmt: skip
        assert line in before
    assert "bascule_session_start_seconds_count" in before
    assert 'bascule_workers{status="claimed"} 0.0' in after
    assert 'bascule_worker_deaths_total{cause="worker_died"} 1.0' in after


async def test_workers_that_end_are_counted_until_they_are_gone(monkeypatch):
    """An engine may take its time, and so many do not fit in beside them."""
    async with stage(scripted_worker) as made:
        gate, stop = asyncio.Event(), made.runtime.stop

        async def slow(worker):
            await gate.wait()
            await stop(worker)

        def are_ending(count):
            return lambda: f'bascule_workers{{status="ending"}} {count}.0' in made.metrics.render().decode()

        _, session = await made.opened()
        monkeypatch.setattr(made.runtime, "stop", slow)
        assert are_ending(0)()
        made.kill_worker(session)
        try:
            assert await eventually(are_ending(1))
        finally:
            gate.set()
        assert await eventually(are_ending(0))


async def test_a_damaged_journal_is_told_as_a_regression_and_the_session_goes_on():
    """The eval that could not be committed is undone; the state before it is whole."""
    async with stage() as made:
        client, _ = await made.opened()
        await client.eval("n = 1")

        def damaged(commit):
            made.store.on_commit = lambda commit: None
            raise WireError("internal", "the store holds something damaged: DAMAGED", cause="damaged")

        made.store.on_commit = damaged
        answer = await client.ask("eval", {"code": "n = 2"})

        assert (answer["type"], answer["payload"]["code"]) == ("error", "session_regressed")
        assert [event["payload"]["cause"] for event in client.events("rolled_back")] == ["session_regressed"]
        assert (await client.eval("n"))["output"] == "1"


async def test_a_generation_that_the_store_forgot_is_not_counted_again():
    """A cursor means one event: the store went back to the first worker, the clients heard of more."""
    async with stage() as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        as_it_was = copy.deepcopy(made.store._tables.sessions[session])
        for _ in range(2):
            made.kill_worker(session)
            await eventually(lambda: made.live(session).phase is Phase.NONE)
            await client.eval("n")
        heard = (await made.store.read(session)).generation
        made.store._tables.sessions[session] = as_it_was
        made.kill_worker(session)
        answer = await client.ask("eval", {"code": "n"})

        assert answer["payload"]["code"] == "session_regressed"
        assert (await client.eval("n"))["output"] == "1"
        assert (await made.store.read(session)).generation == heard + 1


async def test_a_session_of_before_a_limit_existed_is_restored():
    """Its record lacks the limit: the operator's value holds."""
    async with stage(limits={"repr_bytes_max": 100}) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        stored = made.store._tables.sessions[session]
        limits = {name: value for name, value in stored.record.policy.limits.items() if name != "repr_bytes_max"}
        stored.record = replace(stored.record, policy=replace(stored.record.policy, limits=limits))
        made.kill_worker(session)
        await made.start()
        client = made.connect()
        await client.attach(session)

        assert (await client.eval("n"))["output"] == "1"
        assert "cut]" in (await client.eval("'x' * 1000"))["output"]


async def test_what_a_server_of_our_name_left_half_replaced_is_taken_over_at_once():
    """It is dead, for we have its name; another server's replacement is waited for."""
    async with stage(replace_deadline_s=300.0) as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        made.abandon()
        assert await made.store.raise_generation(session, 1, "door-1", 300.0)
        await made.start()
        client = made.connect()
        await client.attach(session)

        assert (await client.eval("n"))["output"] == "1"
