"""Going back to a state of before: real workers, the in-memory store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.core.principal import Principal
from orchestrator.stores.limits import StoreLimits
from replwire.errors import WireError
from support.engine_stage import Client, Stage, stage

ASKED: list[tuple[str, dict[str, Any]]] = [
    ("rewind", {"seq": 1}),
    ("fork", {}),
    ("pin", {"name": "a"}),
    ("unpin", {"name": "a"}),
]


async def three_states(made: Stage, **payload: Any) -> tuple[Client, str]:
    """A session whose `x` was 1, 2 and 3."""
    client, session = await made.opened(**payload)
    for number in (1, 2, 3):
        await client.eval(f"x = {number}")
    return client, session


async def test_a_rewind_is_a_later_state_equal_to_an_earlier_one():
    """The chain goes on; nothing is forgotten, and one may go forward again in the same way."""
    async with stage() as made:
        client, _ = await three_states(made)
        back = (await client.ask("rewind", {"seq": 1}))["payload"]
        value = (await client.eval("x"))["output"]
        forward = (await client.ask("rewind", {"seq": 3}))["payload"]
        history = (await client.ask("history"))["payload"]

        assert (back["seq"], back["to"], back["unsaved"], back["state"]) == (4, 1, {}, "committed")
        assert (value, forward["seq"]) == ("1", 6)
        assert (await client.eval("x"))["output"] == "3"
        assert [entry["type"] for entry in history["entries"]] == ["eval"] * 3 + ["rewind", "eval", "rewind"]
        assert history["entries"][3]["body"] == {"seq": 1} and history["states"] == [1, 2, 3, 4, 5, 6]
        assert back["etag"] != forward["etag"]


async def test_the_same_id_goes_back_once():
    """Its answer was lost: it comes again; another body is a conflict, whichever kind of request had the id first."""
    async with stage() as made:
        client, _session = await three_states(made)
        first = (await client.ask("rewind", {"seq": 1}, id_="back"))["payload"]
        await client.eval("x = 'after'")
        again = (await client.ask("rewind", {"seq": 1}, id_="back"))["payload"]
        other = (await client.ask("rewind", {"seq": 2}, id_="back"))["payload"]
        as_eval = (await client.ask("eval", {"code": "1"}, id_="back"))["payload"]
        await client.ask("eval", {"code": "1"}, id_="ran")
        as_rewind = (await client.ask("rewind", {"seq": 1}, id_="ran"))["payload"]

        assert {name: again[name] for name in ("seq", "to", "etag")} == {
            name: first[name] for name in ("seq", "to", "etag")
        }
        assert (other["code"], as_eval["code"], as_rewind["code"]) == ("conflict",) * 3
        assert (await client.eval("x"))["output"] == "'after'"


async def test_what_is_not_kept_is_not_found_with_what_is():
    """The last states only; those that were never there neither."""
    async with stage() as made:
        made.store._tables.limits = made.store._limits = StoreLimits(states_kept=2)
        client, _ = await three_states(made)
        gone = (await client.ask("rewind", {"seq": 1}))["payload"]
        never = (await client.ask("rewind", {"seq": 9}))["payload"]

        assert (gone["code"], gone["kept"], never["code"], never["kept"]) == ("not_found", [2, 3], "not_found", [2, 3])
        assert "2, 3" in gone["message"]


async def test_what_runs_and_waits_ends_rolled_back():
    """And everybody who listens hears that it did not happen."""
    async with stage() as made:
        client, session = await three_states(made)
        watcher = made.connect(session=session)
        await watcher.ask("ping")
        running = client.send("eval", {"code": "import time; x = 4; print('run', flush=True); time.sleep(60)",
                                       "stream": True})  # fmt: skip
        waiting = client.send("eval", {"code": "x = 5"})
        await client.wait_for(lambda e: e["type"] == "stream")
        back = (await watcher.ask("rewind", {"seq": 2}))["payload"]
        ended = [(await client.terminal(id_))["payload"] for id_ in (running, waiting)]

        assert back["seq"] == 4
        assert [(said["code"], said["cause"]) for said in ended] == [("rolled_back", "rewind")] * 2
        for heard in (client, watcher):
            told = (await heard.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]
            assert (told["to"], told["cause"]) == (3, "rewind")
        assert (await client.eval("x"))["output"] == "2"


async def test_what_waits_for_its_commit_is_rolled_back():
    """It was executed; the store did not have it yet."""
    async with stage(commit_wait_ms=60_000) as made:
        client, session = await three_states(made)
        made.store.gate.clear()
        executed = client.send("eval", {"code": "x = 4"})
        await asyncio.wait_for(_until(lambda: bool(made.live(session).committer.waiting)), 10)
        back = (await made.connect(session=session).ask("rewind", {"seq": 1}))["payload"]
        made.store.gate.set()

        assert (await client.terminal(executed))["payload"]["code"] == "rolled_back"
        assert (back["seq"], (await client.eval("x"))["output"]) == (4, "1")


async def _until(is_so: Any) -> None:
    while not is_so():
        await asyncio.sleep(0.005)


async def test_a_commit_in_between_is_read_again(monkeypatch):
    """The session was faster; the rewind comes after it."""
    async with stage() as made:
        client, session = await three_states(made)
        store = made.store
        once: list[Any] = []
        rewind = store.rewind

        async def slow(*arguments: Any) -> Any:
            if not once:
                once.append(await client.eval("x = 4"))
            return await rewind(*arguments)

        monkeypatch.setattr(store, "rewind", slow)
        back = (await made.connect(session=session).ask("rewind", {"seq": 1}))["payload"]

        assert (once[0]["seq"], back["seq"], (await client.eval("x"))["output"]) == (4, 5, "1")


async def test_a_lost_answer_is_not_a_lost_rewind(monkeypatch):
    """The store did it and its word did not come: it is found by its id, and done once."""
    async with stage() as made:
        client, _ = await three_states(made)
        store = made.store
        once: list[Any] = []
        rewind = store.rewind

        async def deaf(*arguments: Any) -> Any:
            reply = await rewind(*arguments)
            if not once:
                once.append(reply)
                raise WireError("store_unavailable", "no word came")
            return reply

        monkeypatch.setattr(store, "rewind", deaf)
        back = (await client.ask("rewind", {"seq": 1}))["payload"]

        assert (back["seq"], (await client.eval("x"))["output"]) == (4, "1")
        assert len((await client.ask("history"))["payload"]["entries"]) == 5


async def test_the_answer_is_the_same_behind_another_front_door():
    """The id table is the session's, not the server's."""
    async with stage() as made:
        client, session = await three_states(made)
        first = (await client.ask("rewind", {"seq": 1}, id_="back"))["payload"]
        await made.start()
        later = made.connect(session=session)
        again = (await later.ask("rewind", {"seq": 1}, id_="back"))["payload"]

        assert (again["seq"], again["etag"]) == (first["seq"], first["etag"])
        assert (await later.eval("x"))["output"] == "1"


async def test_a_scratch_pad_keeps_no_states():
    """Without commits there is nothing to go back to."""
    async with stage() as made:
        client, session = await made.opened(durability="none")
        await client.eval("x = 1")
        opening: tuple[str, dict[str, Any]] = ("open", {"from": {"session": session}})
        answers = [(await client.ask(*asked))["payload"] for asked in (*ASKED, opening)]

        assert [said["code"] for said in answers] == ["forbidden"] * 5


@pytest.mark.parametrize(
    "asked", [("rewind", {"seq": 1}), ("fork", {}), ("pin", {"name": "a"}), ("unpin", {"name": "a"})]
)
async def test_who_may_only_watch_may_not(asked):
    """Nor may another tenant, who is not told that there is a session."""
    async with stage() as made:
        _, session = await three_states(made)
        watcher = made.connect(session=session, principal=Principal("acme", "eve", frozenset({"observe"})))
        stranger = made.connect(principal=Principal("other", "eve"))
        nobody = made.connect()

        assert (await watcher.ask(*asked))["payload"]["code"] == "forbidden"
        assert (await stranger.ask(*asked, session=session))["payload"]["code"] == "not_found"
        assert (await nobody.ask(*asked))["payload"]["code"] == "not_found"


async def test_who_comes_back_hears_of_it():
    """With the cursor of output whose eval was overtaken by the rewind."""
    async with stage() as made:
        client, session = await three_states(made)
        client.send("eval", {"code": "import time; print('run', flush=True); time.sleep(60)", "stream": True})
        cursor = (await client.wait_for(lambda e: e["type"] == "stream"))["cursor"]
        await client.hang_up()
        await made.connect(session=session).ask("rewind", {"seq": 2})
        later = made.connect()
        await later.attach(session, cursor)
        told = (await later.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]

        assert (told["to"], told["cause"]) == (3, "rewind")
        assert (await later.eval("x"))["output"] == "2"


async def test_a_result_that_was_kept_is_undone():
    """It went out before its commit, which the rewind overtook."""
    async with stage() as made:
        client, session = await three_states(made, durability="async")
        await client.wait_for(lambda e: e["type"] == "committed" and e["payload"]["seq"] == 3)
        made.store.gate.clear()
        kept = await client.eval("x = 4")
        back = (await made.connect(session=session).ask("rewind", {"seq": 1}))["payload"]
        made.store.gate.set()
        told = (await client.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]

        assert (kept["state"], kept["seq"], back["seq"], told["to"]) == ("kept", 4, 4, 3)
        assert (await client.eval("x"))["output"] == "1"


async def test_describe_says_who_may():
    """A driver may; who watches may not."""
    async with stage() as made:
        _, session = await three_states(made)
        watcher = made.connect(session=session, principal=Principal("acme", "eve", frozenset({"observe"})))
        may = [(await client.ask("describe"))["payload"]["principal"]["may"] for client in (made.connect(), watcher)]

        assert {"rewind", "fork", "pin", "unpin"} <= set(may[0])
        assert not {"rewind", "fork", "pin", "unpin"} & set(may[1])


async def test_a_front_door_that_drains_goes_nowhere():
    """Another one is asked, by the same id."""
    async with stage() as made:
        client, _ = await three_states(made)
        made.engine._services.draining = True
        answers = [(await client.ask(*asked))["payload"]["code"] for asked in ASKED[:2]]

        assert answers == ["draining"] * 2
