"""An interrupt, and what follows when it is not obeyed, hits what it was meant for and nothing else."""

from __future__ import annotations

from support.engine_stage import held_back, stage
from support.runtimes import eventually

GRACE = {"interrupt_grace_s": 1}


async def test_an_interrupted_eval_that_ends_at_once_leaves_the_next_one_its_time():
    """The answer to the interrupt, the outcome and the next start come in one breath."""
    async with stage(limits=GRACE) as made:
        client, session = await made.opened()
        worker = made.live(session).record.worker
        first = client.send("eval", {"code": "import time\nprint('on')\nwhile True: time.sleep(9)", "stream": True})
        await client.wait_for(lambda e: e["type"] == "stream")
        second = client.send("eval", {"code": "open('started', 'w').close(); time.sleep(1.6); 'whole'"})
        await client.ask("ping")
        live = made.live(session)
        with held_back(live.link):
            asked = client.send("interrupt")
            await eventually((made.work_folder(session) / "started").exists)

        assert (await client.terminal(asked))["payload"] == {"status": "interrupted"}
        assert (await client.terminal(first))["payload"]["error"]["code"] == "interrupted"
        assert (await client.terminal(second))["payload"]["output"] == "'whole'"
        assert made.live(session).record.worker == worker


async def test_a_client_that_leaves_takes_back_what_waits_and_not_what_runs_for_another():
    """`on_disconnect: interrupt` of a queued eval drops it; the eval in front of it is somebody else's."""
    async with stage(limits=GRACE) as made:
        client, session = await made.opened()
        other = made.connect()
        await other.attach(session)
        running = client.send("eval", {"code": "import time\nprint('on')\ntime.sleep(2)\n'whole'", "stream": True})
        await client.wait_for(lambda e: e["type"] == "stream")
        other.send("eval", {"code": "never = 1", "on_disconnect": "interrupt"})
        await other.ask("ping")
        await other.hang_up()

        assert (await client.terminal(running))["payload"]["output"] == "'whole'"
        assert (await client.eval("'never' in globals()"))["output"] == "False"


async def test_a_client_that_leaves_while_its_worker_comes_up_leaves_nothing_to_run():
    """It waits for a worker; with its client gone it does not start."""
    async with stage(pool_size=0) as made:
        client = made.connect()
        session = (await client.ask("open"))["payload"]["session"]
        client.send("eval", {"code": "never = 1", "on_disconnect": "interrupt"})
        await client.ask("ping")
        await client.hang_up()
        other = made.connect()
        await other.attach(session)

        assert (await other.eval("'never' in globals()"))["seq"] == 1


async def test_a_request_is_answered_also_after_its_client_turned_to_another_session():
    """Every request ends exactly once, wherever the connection is bound by then."""
    async with stage(pool_size=2) as made:
        client, _ = await made.opened()
        waiting = client.send("eval", {"code": "import time; time.sleep(0.5); 'done'"})
        await client.ask("ping")
        await client.ask("open")

        assert (await client.terminal(waiting))["payload"]["output"] == "'done'"


async def test_a_control_goes_to_the_session_that_it_names():
    """And not to the one that the connection is bound to."""
    async with stage(pool_size=2) as made:
        client, first = await made.opened()
        running = client.send("eval", {"code": "print('on')\nwhile True: pass", "stream": True})
        await client.wait_for(lambda e: e["type"] == "stream")
        await client.ask("open")
        assert (await client.ask("interrupt"))["payload"] == {"status": "idle"}
        assert (await client.ask("interrupt", session=first))["payload"] == {"status": "interrupted"}

        assert (await client.terminal(running))["payload"]["error"]["code"] == "interrupted"


async def test_the_deadline_of_an_eval_is_held_by_the_front_door_that_adopts_its_worker():
    """Nobody sends its id again, and it does not obey: the worker is replaced, the session goes on."""
    async with stage(limits=GRACE | {"eval_timeout_s": 1}) as made:
        client, session = await made.opened()
        await client.eval("n = 41")
        client.send("eval", {"code": "sum(range(10**13))"})
        await client.ask("is_complete", {"code": "1"})
        await made.start()
        other = made.connect()
        await other.attach(session)
        await eventually(lambda: made.live(session).record.worker is None)

        assert (await other.eval("n + 1"))["output"] == "42"
