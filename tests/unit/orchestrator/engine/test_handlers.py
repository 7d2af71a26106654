"""Requests that the front door serves by itself."""

from __future__ import annotations

import pytest

from orchestrator.core.principal import Principal
from support.engine_stage import stage_on
from support.hostile_agent import HostileRuntime, honest


async def test_the_same_open_is_the_same_session():
    """Its answer was lost with the connection; another principal's id is another id."""
    async with stage_on(HostileRuntime(honest)) as made:
        first = await made.connect().ask("open", {"name": "a"}, id_="o")
        again = await made.connect().ask("open", {"name": "a"}, id_="o")
        other_body = await made.connect().ask("open", {"name": "b"}, id_="o")
        somebody = await made.connect(principal=Principal("acme", "bob")).ask("open", {"name": "b"}, id_="o")

        assert again["payload"]["session"] == first["payload"]["session"]
        assert other_body["payload"]["code"] == "conflict"
        assert somebody["payload"]["session"] != first["payload"]["session"]


async def test_the_same_open_is_the_same_session_behind_another_front_door():
    """The one that answered first is gone; its answer may have been lost with it."""
    async with stage_on(HostileRuntime(honest)) as made:
        first = await made.connect().ask("open", {"name": "a"}, id_="o")
        await made.start()
        again = await made.connect().ask("open", {"name": "a"}, id_="o")
        other_body = await made.connect().ask("open", {"name": "b"}, id_="o")

        assert again["payload"]["session"] == first["payload"]["session"]
        assert other_body["payload"]["code"] == "conflict"


async def test_an_open_whose_session_was_closed_says_so():
    """It does not open another one under the same id."""
    async with stage_on(HostileRuntime(honest)) as made:
        client = made.connect()
        await client.ask("open", id_="o")
        await client.ask("close")

        assert (await made.connect().ask("open", id_="o"))["payload"]["code"] == "session_gone"


async def test_history_fits_into_an_answer(monkeypatch):
    """By bytes as well: the last ones, or those from where one asks."""
    async with stage_on(HostileRuntime(honest)) as made:
        client, _ = await made.opened()
        for number in range(20):
            await client.eval(str(number))
        monkeypatch.setattr("orchestrator.engine.history.BYTES_MAX", 3000)

        async def seqs(**payload: int) -> list[int]:
            return [entry["seq"] for entry in (await client.ask("history", payload))["payload"]["entries"]]

        newest, oldest = await seqs(), await seqs(**{"from": 1})
        assert newest[-1] == 20 and newest == list(range(newest[0], 21)) and 1 < len(newest) < 20
        assert oldest == list(range(1, oldest[-1] + 1)) and 1 < len(oldest) < 20
        monkeypatch.setattr("orchestrator.engine.history.BYTES_MAX", 1)
        assert (await seqs(), await seqs(**{"from": 9})) == ([20], [9])


@pytest.mark.parametrize(
    ("scopes", "role", "code"), [({"files"}, "observer", "forbidden"), ({"observe"}, None, "forbidden")]
)
async def test_a_role_needs_its_scope(scopes, role, code):
    """Neither drive without `eval` nor watch without `observe`."""
    async with stage_on(HostileRuntime(honest)) as made:
        _, session = await made.opened()
        stranger = made.connect(principal=Principal("acme", "ann", frozenset(scopes)))
        answer = await stranger.ask("attach", {"session": session, **({"role": role} if role else {})})
        addressed = made.connect(session=session, principal=Principal("acme", "ann", frozenset({"files"})))

        assert answer["payload"]["code"] == code
        assert (await addressed.wait_for(lambda e: e["type"] == "error"))["payload"]["code"] == "forbidden"


async def test_there_is_nothing_to_close_on_a_connection_without_a_session():
    """And none is made for it."""
    async with stage_on(HostileRuntime(honest)) as made:
        assert (await made.connect().ask("close"))["payload"]["code"] == "not_found"
        assert made.engine._sessions.live == ()
