"""A front door that goes away: what runs may end, who waits for nothing is told at once, and so is what is overdue."""

import asyncio
import time

import pytest

from orchestrator.engine import draining
from support.engine_stage import Stage, stage
from support.runtimes import eventually

RUNNING = "print('on', flush=True)\nwhile True: pass"
WAITS = "import os, time\nprint('on', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.005)\nn = 1"


async def begun(made: Stage, code: str, **payload):
    """A client whose eval runs: client, session, id of the request."""
    client, session = await made.opened(**payload)
    request = client.send("eval", {"code": code, "stream": True})
    await client.wait_for(lambda e: e["type"] == "stream" and "on" in e["payload"]["text"])
    return client, session, request


def went_away(client) -> bool:
    """Whether a client was told, with a time to come back, before it was hung up on with 1012."""
    (told,) = client.events("going_away")
    return told["payload"]["retry_after_ms"] > 0 and client.channel.closed == 1012


async def test_who_waits_for_nothing_is_told_at_once_and_what_runs_may_end():
    """The idle client leaves while the other's eval runs; that one is answered, committed, and then told too."""
    async with stage() as made:
        busy, session, request = await begun(made, WAITS)
        idle, _ = await made.opened()
        drain = asyncio.create_task(made.engine.drain(30))
        assert await eventually(lambda: idle.channel.closed is not None)
        assert went_away(idle)
        assert busy.channel.closed is None and not drain.done()
        (made.work_folder(session) / "go").touch()
        await drain
        answer = (await busy.terminal(request))["payload"]
        assert (answer["state"], answer["error"]) == ("committed", None)
        assert went_away(busy)
        assert (await made.store.read(session)).seq == 1


async def test_who_only_listens_hears_the_end_of_what_runs():
    """An observer stays as long as there is something to hear."""
    async with stage() as made:
        busy, session, request = await begun(made, WAITS)
        listener = made.connect()
        await listener.attach(session, role="observer")
        drain = asyncio.create_task(made.engine.drain(30))
        await asyncio.sleep(5 * draining.DRAIN_POLL_S)
        assert listener.channel.closed is None
        (made.work_folder(session) / "go").touch()
        await drain
        assert went_away(listener) and (await busy.terminal(request))["type"] == "result"


async def test_a_worker_that_cannot_outlive_us_is_parked():
    """The next front door provides another at once: it has not to find out that this one died."""
    async with stage() as made:
        client, session = await made.opened()
        await client.eval("n = 1")
        await made.engine.drain(30)
        record = await made.store.read(session)
        assert (record.worker, record.cause, record.seq) == (None, "parked", 1)


async def test_a_worker_that_outlives_us_is_left_alone(monkeypatch):
    """Its session is no one's for a moment, and the worker waits."""
    async with stage() as made:
        monkeypatch.setattr(made.engine._services.runtime, "survives_server", True)
        client, session = await made.opened()
        await client.eval("n = 1")
        before = await made.store.read(session)
        await made.engine.drain(30)
        after = await made.store.read(session)
        assert (after.worker, after.generation) == (before.worker, before.generation)


async def test_an_eval_that_takes_too_long_is_undone_with_its_worker():
    """Its client hears how it ended before it is sent away; so does who waited behind it."""
    async with stage() as made:
        client, session, request = await begun(made, RUNNING)
        behind = client.send("eval", {"code": "n = 2"})
        await client.ask("ping")
        began = time.monotonic()
        await made.engine.drain(0.2)
        assert time.monotonic() - began < 0.2 + 2 * draining.OVERDUE_S
        answers = [(await client.terminal(id_))["payload"] for id_ in (request, behind)]
        assert [answer["code"] for answer in answers] == ["rolled_back", "rolled_back"]
        assert answers[0]["retryable"] and "went away" in answers[0]["message"]
        assert [event["payload"]["cause"] for event in client.events("rolled_back")] == ["rolled_back"]
        assert went_away(client)
        record = await made.store.read(session)
        assert (record.worker, record.seq) == (None, 0)


async def test_an_eval_that_takes_too_long_goes_on_in_a_worker_that_outlives_us(monkeypatch):
    """Its client is told to ask again; the next front door adopts the worker, and the same id joins the run."""
    async with stage() as made:
        monkeypatch.setattr(made.engine._services.runtime, "survives_server", True)
        client, session, request = await begun(made, WAITS)
        await made.engine.drain(0.1)
        refused = (await client.terminal(request))["payload"]
        assert (refused["code"], refused["retryable"]) == ("draining", True) and refused["retry_after_ms"]
        assert went_away(client)

        folder, generation = made.work_folder(session), made.live(session).record.generation
        await made.start()
        client = made.connect()
        await client.attach(session)
        again = client.send("eval", {"code": WAITS, "stream": True}, id_=request)
        (folder / "go").touch()
        assert (await client.terminal(again))["payload"]["state"] == "committed"
        assert made.live(session).record.generation == generation


async def test_a_store_that_is_away_does_not_hold_the_end_up():
    """What was told as kept can't be committed: the drain ends all the same, and what ran is told as unknown."""
    async with stage() as made:
        client, _, request = await begun(made, RUNNING)
        made.store.is_away = True
        began = time.monotonic()
        await made.engine.drain(0.1)
        assert time.monotonic() - began < 0.1 + 2 * draining.OVERDUE_S
        answer = (await client.terminal(request))["payload"]
        assert (answer["code"], answer["retryable"]) == ("outcome_unknown", False)
        assert went_away(client)


async def test_clients_that_read_slowly_are_waited_for_together(monkeypatch):
    """Each has its time, and all of them the same."""
    async with stage() as made:
        clients = [(await made.opened(durability="none"))[0] for _ in range(3)]
        for client in clients:
            monkeypatch.setattr(client.channel, "offer", lambda text: False)
            monkeypatch.setattr(client.channel, "send", lambda text: asyncio.Event().wait())
        began = time.monotonic()
        await made.engine.drain(30)
        assert time.monotonic() - began < 2 * 2.0 + draining.OVERDUE_S
        assert all(client.channel.closed == 1012 for client in clients)


@pytest.mark.parametrize("type_", ["open", "attach", "eval", "variables"])
async def test_nothing_new_begins(type_):
    """Whoever asks is told so, and when to ask again; to look and to stop is allowed."""
    async with stage() as made:
        busy, session, request = await begun(made, WAITS)
        drain = asyncio.create_task(made.engine.drain(30))
        await asyncio.sleep(0)
        payloads = {"attach": {"session": session}, "eval": {"code": "1"}}
        refused = (await busy.ask(type_, payloads.get(type_, {})))["payload"]
        assert (refused["code"], refused["retryable"]) == ("draining", True) and refused["retry_after_ms"]
        assert (await busy.ask("interrupt"))["payload"]["status"] == "interrupted"
        await drain
        assert (await busy.terminal(request))["payload"]["error"]["name"] == "KeyboardInterrupt"
