"""A link lost is not a worker lost, and a front door that takes a worker over misses nothing of what it said."""

from __future__ import annotations

import asyncio

from support.engine_stage import stage
from support.runtimes import eventually

WAITS_FOR_A_FILE = "while not os.path.exists('go'): time.sleep(0.01)\nprint('out')\nn += 1\nos.rename('go', 'gone')"


async def test_an_eval_that_ended_while_no_front_door_was_there_is_committed_by_the_next():
    """The outcome comes in one breath with the welcome; nothing of it may be missed."""
    async with stage() as made:
        client, session = await made.opened()
        await client.eval("import os, time; n = 1")
        worker, folder = made.live(session).record.worker, made.work_folder(session)
        client.send("eval", {"code": WAITS_FOR_A_FILE, "stream": True})
        await client.ask("is_complete", {"code": "1"})
        made.abandon()
        (folder / "go").touch()
        await eventually((folder / "gone").exists)
        await asyncio.sleep(0.1)  # its outcome is made, and nobody is there to be told
        await made.start()
        other = made.connect()
        await other.attach(session)

        assert (await other.eval("n"))["output"] == "2"
        assert made.live(session).record.worker == worker
        assert [entry["seq"] for entry in (await other.ask("history"))["payload"]["entries"]] == [1, 2, 3]


async def test_a_commit_that_was_never_confirmed_is_answered_from_the_store(monkeypatch):
    """The front door died between its commit and its word to the worker; the client repeats the id."""
    async with stage() as made:
        client, session = await made.opened()
        monkeypatch.setattr(made.live(session).link, "send_soon", lambda kind, parts: None)
        first = await client.ask("eval", {"code": "1 + 1"}, id_="once")
        await made.start()
        other = made.connect()
        await other.attach(session)
        again = await other.ask("eval", {"code": "1 + 1"}, id_="once")

        assert again["payload"]["seq"] == first["payload"]["seq"] and again["payload"]["output"] == "2"
        assert (await other.eval("3"))["seq"] == 2
