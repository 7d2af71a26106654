"""A link lost is not a worker lost, and a front door that takes a worker over misses nothing of what it said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from orchestrator.engine.requests import Consumption
from replwire.frames import EVENT_OVERHEAD_BYTES
from replwire.limits import default_limits
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
        entries = (await other.ask("history"))["payload"]["entries"]
        assert [(entry["seq"], entry["generation"]) for entry in entries] == [(1, 1), (2, 1), (3, 1)]


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
        assert again["payload"]["etag"] == first["payload"]["etag"]
        assert (await other.eval("3"))["seq"] == 2


async def test_small_events_that_nobody_reads_hold_the_writer_up_at_the_window():
    """A client that takes nothing costs its window, in events of one byte too; then the writer waits, and goes on."""
    code = "import os\nfor n in range(2000): _ = os.write(1, b'x'), __import__('time').sleep(0.0005)"
    async with stage(limits={"link_window_bytes": 64 * 1024}) as made:
        client, session = await made.opened()
        subscriber = _Deaf()
        made.live(session).subscribers[:] = [subscriber]
        running = client.send("eval", {"code": code, "stream": True})
        link = made.live(session).link
        assert link is not None
        assert await eventually(lambda: link._unreturned_bytes >= 64 * 1024)
        held = len(subscriber.batches)
        assert 1 < held <= 64 * 1024 / EVENT_OVERHEAD_BYTES + 1
        made.live(session).subscribers.clear()
        for batch in subscriber.batches:
            batch.one()

        assert (await client.terminal(running))["payload"]["receipt"]["output_bytes"] == 2000


async def test_one_event_larger_than_a_small_window_is_no_breach():
    """The agent finishes what it began with the last of its credit, and sends again all that it keeps."""
    code = "display({'text/html': 'x' * 400000}, raw=True)"
    async with stage(limits={"link_window_bytes": 1000}) as made:
        client, session = await made.opened()
        await client.eval(code)
        await client.eval(code)
        again = made.connect()
        await again.attach(session, "1.0")

        assert len(again.events("display")) == 2
        assert (await client.eval("1"))["output"] == "1"


class _Deaf:
    """A client that takes nothing."""

    role, told_everything, principal_name = "driver", True, "acme/ann"
    limits: Mapping[str, int] = default_limits()

    def __init__(self) -> None:
        self.batches: list[Consumption] = []

    def deliver(self, text: str, cost_bytes: int = 0, batch: Consumption | None = None) -> None:
        """Keep it for ever."""
        if batch is not None:
            self.batches.append(batch)
