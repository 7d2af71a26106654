"""Two front doors, one session, and somebody goes back: everybody ends in the same state, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.engine.phase import Phase
from support.engine_stage import Client, Stage, two_doors
from support.runtimes import eventually


async def both(one: Stage, other: Stage) -> tuple[Client, Client, str]:
    """A client on each, linked to the worker of a session whose `x` was 1, 2 and 3."""
    client, session = await one.opened()
    for number in (1, 2, 3):
        await client.eval(f"x = {number}")
    guest = other.connect()
    await guest.attach(session)
    assert await eventually(lambda: other.live(session).phase is Phase.LINKED)
    return client, guest, session


async def value(who: Client, code: str = "x") -> str:
    """What the session says; asked again where a front door lost the race for the new worker."""
    for _ in range(3):
        answer = await who.ask("eval", {"code": code})
        if answer["type"] == "result":
            break
        assert answer["payload"]["retryable"], answer
    return str(answer["payload"]["output"])


@pytest.mark.parametrize("is_idle", [True, False])
async def test_a_rewind_through_one_is_heard_through_the_other(is_idle: bool):
    """What ran through the other one ends `rolled_back`; its client hears why, and goes on from there."""
    async with two_doors() as (one, other):
        client, guest, session = await both(one, other)
        running = None
        if not is_idle:
            running = guest.send("eval", {"code": "import time; x = 9; print('on', flush=True); time.sleep(60)",
                                          "stream": True})  # fmt: skip
            await guest.wait_for(lambda e: e["type"] == "stream")
        back = (await client.ask("rewind", {"seq": 1}))["payload"]
        if running is not None:
            ended = (await guest.terminal(running))["payload"]
            told = (await guest.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]
            assert (ended["code"], ended["cause"]) == ("rolled_back", "rewind")
            assert (told["to"], told["cause"]) == (3, "rewind")
        values = [await value(who) for who in (guest, client)]

        assert (back["seq"], values) == (4, ["1", "1"])
        assert other.live(session).record.generation == one.live(session).record.generation


async def test_rewinds_of_both_at_once_are_one_after_the_other():
    """Each is a commit of its own; both clients see what the last one left."""
    async with two_doors() as (one, other):
        client, guest, _ = await both(one, other)
        answers = await asyncio.gather(*(who.ask("rewind", {"seq": seq}) for who, seq in ((client, 1), (guest, 2))))
        done = sorted((said["payload"]["seq"], said["payload"]["to"]) for said in answers)
        values = [await value(who) for who in (client, guest)]

        assert [seq for seq, _ in done] == [4, 5]
        assert values == [str(done[-1][1])] * 2


async def test_the_same_rewind_through_both_is_one():
    """A client that lost its connection asks elsewhere, while the first one is still at it."""
    async with two_doors() as (one, other):
        client, guest, _ = await both(one, other)
        asked: dict[str, Any] = {"seq": 1}
        answers = await asyncio.gather(*(who.ask("rewind", asked, id_="back") for who in (client, guest)))
        entries = (await guest.ask("history"))["payload"]["entries"]

        assert {said["payload"]["seq"] for said in answers} == {4}
        assert [entry["type"] for entry in entries] == ["eval"] * 3 + ["rewind"]


async def test_evals_while_somebody_goes_back_are_before_or_after_it():
    """None is lost between: each is committed, or its client hears that it is not."""
    async with two_doors() as (one, other):
        client, guest, _ = await both(one, other)
        sent = [guest.send("eval", {"code": f"seen = {n}"}) for n in range(8)]
        back = (await client.ask("rewind", {"seq": 1}))["payload"]
        ended = [(await guest.terminal(id_)) for id_ in sent]
        entries = (await client.ask("history"))["payload"]["entries"]
        committed = {entry["id"] for entry in entries}

        for id_, answer in zip(sent, ended, strict=True):
            assert (answer["type"] == "result") == (id_ in committed), answer
            assert answer["type"] == "result" or answer["payload"]["code"] == "rolled_back"
        after = [entry["seq"] for entry in entries if entry["seq"] > back["seq"]]
        known = await value(guest, "'seen' in globals()")
        assert known == str(bool(after))


async def test_forks_through_both_of_the_same_id_are_one_session():
    """And of different ids two, with the same state."""
    async with two_doors() as (one, other):
        client, guest, _ = await both(one, other)
        same = await asyncio.gather(*(who.ask("fork", id_="f") for who in (client, guest)))
        apart = await asyncio.gather(*(who.ask("fork") for who in (client, guest)))

        assert len({said["payload"]["session"] for said in same}) == 1
        assert len({said["payload"]["session"] for said in apart}) == 2
        assert {said["payload"]["etag"] for said in (*same, *apart)} == {same[0]["payload"]["etag"]}
