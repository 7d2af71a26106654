"""A client that comes back with its cursor: what it missed comes again, what is gone or did not happen is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.session import Record, SessionPolicy, Status
from orchestrator.engine.catching_up import CatchUp
from replwire.cursors import Cursor
from support.engine_parts import services
from support.engine_stage import Client, held_back, stage
from support.runtimes import eventually

SESSION = "ses_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaa"
CODE = """print('{first}', flush=True)
while not os.path.exists('go'): time.sleep(0.01)
{rest}
os.rename('go', 'gone')"""
EVENTS, SEQS = {1: 9, 3: 4, 4: 0}, {1: 3, 3: 5, 4: 6}


class _Store:
    async def read(self, session: str) -> Record:
        return Record(session, SessionPolicy("acme", "ann"), Status.OPEN, 0.0, 5, "nonce", 6, "etag", 0.0, EVENTS, SEQS)


class _Parked:
    """A session without a worker."""

    def __init__(self) -> None:
        self.id, self.policy, self.link, self.phase = SESSION, SessionPolicy("acme", "ann"), None, None
        self.subscribers: list[object] = []

    async def settled(self) -> None:
        """It is."""


class _Listener:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def deliver(self, text: str, cost_bytes: int = 0, batch: object = None) -> None:
        """Keep type, cursor and what it says."""
        envelope = json.loads(text)
        payload = envelope["payload"]
        self.said.append((envelope["type"], payload.get("to"), payload.get("from"), envelope.get("cursor")))


@pytest.mark.parametrize(
    ("cursor", "said"),
    [
        ((4, 0), []),
        ((3, 4), []),
        ((3, 2), [("gap", "3.4", "3.2", None)]),
        ((1, 9), [("gap", "3.4", "1.9", None)]),
        ((1, 11), [("rolled_back", 3, None, "5.0"), ("gap", "3.4", "1.9", None)]),
        ((2, 7), [("rolled_back", 3, None, "5.0"), ("gap", "3.4", "2.0", None)]),
        ((3, 5), [("rolled_back", 5, None, "5.0")]),
        ((4, 2), [("rolled_back", 6, None, "5.0")]),
        ((9, 1), [("rolled_back", 6, None, "5.0")]),
    ],
)
async def test_what_dead_workers_said_is_undone_or_gone(cursor: tuple[int, int], said: list):
    """By generation: 1 committed three evals, 2 none, 3 two, 4 a silent one; the store once had a 9."""
    session, listener = _Parked(), _Listener()
    await CatchUp(services(store=_Store()), session).attach(listener, Cursor(*cursor))  # type: ignore[arg-type]

    assert listener.said == said
    assert session.subscribers == [listener]


def _text(*clients: Client) -> str:
    return "".join(event["payload"]["text"] for client in clients for event in client.events("stream"))


async def test_what_was_said_while_the_front_door_was_away_comes_to_who_attaches_at_once():
    """The worker is still being adopted when the client is back: its cursor is of the same generation."""
    async with stage() as made:
        client, session = await made.opened()
        await client.eval("import os, time")
        folder = made.work_folder(session)
        client.send("eval", {"code": CODE.format(first="before", rest="print('after')"), "stream": True})
        first = await client.wait_for(lambda e: e["type"] == "stream")
        made.abandon()
        (folder / "go").touch()
        await eventually((folder / "gone").exists)
        await made.start()
        other = made.connect()
        await other.attach(session, first["cursor"])
        await other.eval("1")

        # A `print` writes its text and the end of the line apart.
        assert first["payload"]["text"] + _text(other) == "before\nafter\n"
        assert other.events("gap") == []


async def test_nothing_falls_between_what_comes_again_and_what_comes_live():
    """The first live event is right behind the answer to the replay."""
    async with stage() as made:
        client, session = await made.opened()
        await client.eval("import os, time")
        folder = made.work_folder(session)
        code = CODE.format(first="0", rest="for n in range(1, 400): print(n, flush=True)")
        running = client.send("eval", {"code": code, "stream": True})
        first = await client.wait_for(lambda e: e["type"] == "stream")
        other = made.connect()
        with held_back(made.live(session).link):
            attached = other.send("attach", {"session": session, "cursor": first["cursor"].split(".")[0] + ".0"})
            link = made.live(session).link
            await eventually(lambda: bool(link._calls))
            (folder / "go").touch()
            await eventually((folder / "gone").exists)
        await other.terminal(attached)
        await client.terminal(running)

        assert _text(other) == _text(client) == "".join(f"{n}\n" for n in range(400))
