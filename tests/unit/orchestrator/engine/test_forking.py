"""Copies of a session: forks, `open` with `from`, pins; in the lineage and out of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from orchestrator.core.ids import lineage_of
from orchestrator.core.principal import Principal
from orchestrator.stores.limits import StoreLimits
from support.engine_stage import PATIENCE_S, Client, Stage, stage

DRAW = "import random; random.random()"


async def with_limits(made: Stage, **limits: Any) -> None:
    """The store's own limits, by name."""
    made.store._tables.limits = made.store._limits = StoreLimits(**limits)


async def values(made: Stage, session: str, *codes: str) -> list[str]:
    """What a session says to each."""
    client = made.connect(session=session)
    return [(await client.eval(code))["output"] for code in codes]


async def killed(made: Stage, session: str) -> None:
    """Its worker is gone, and the front door knows."""
    live = made.live(session)
    made.kill_worker(session)
    async with asyncio.timeout(PATIENCE_S):
        while live.link is not None:
            await asyncio.sleep(0.002)


async def prepared(made: Stage, **payload: Any) -> tuple[Client, str]:
    """A session whose `x` was [1] and then [1, 2]."""
    client, session = await made.opened(**payload)
    await client.eval("x = [1]")
    await client.eval("x.append(2)")
    return client, session


async def test_a_fork_begins_with_the_last_state_and_goes_its_own_way():
    """No worker is started for it before somebody asks; neither sees what the other does."""
    async with stage() as made:
        client, session = await prepared(made, limits={"eval_timeout_s": 7})
        fork = (await client.ask("fork", {"name": "b"}))["payload"]
        assert (fork["seq"], fork["status"], fork["origin"]) == (2, "parked", session)
        assert fork["session"] != session and lineage_of(fork["session"]) == lineage_of(session)

        assert await values(made, fork["session"], "x.append('fork'); x") == ["[1, 2, 'fork']"]
        assert (await client.eval("x"))["output"] == "[1, 2]"
        record = await made.store.read(fork["session"])
        assert record is not None
        policy = record.policy
        assert (policy.name, policy.limits["eval_timeout_s"], policy.origin, policy.origin_seq) == ("b", 7, session, 2)


async def test_a_fork_of_an_earlier_state_and_of_a_fork():
    """The chain of each goes on from where it began."""
    async with stage() as made:
        client, _session = await prepared(made)
        first = (await client.ask("fork", {"seq": 1}))["payload"]
        other = made.connect(session=first["session"])
        result = await other.eval("x.append(3); x")
        second = (await other.ask("fork"))["payload"]

        assert (first["seq"], result["seq"], second["seq"]) == (1, 2, 2)
        assert await values(made, second["session"], "x") == ["[1, 3]"]
        assert len({first["etag"], result["etag"], second["etag"]}) == 2 and second["etag"] == result["etag"]


async def test_the_same_fork_is_the_same_session():
    """Also when the state that it began with is not kept any more; another body is a conflict; another session's fork
    of the same id is another one."""
    async with stage() as made:
        await with_limits(made, states_kept=1)
        client, session = await prepared(made)
        first = (await client.ask("fork", {"seq": 2}, id_="f"))["payload"]
        await client.eval("x.append(3)")
        again = (await client.ask("fork", {"seq": 2}, id_="f"))["payload"]
        other = (await client.ask("fork", {}, id_="f"))["payload"]
        of_fork = (await client.ask("fork", {"seq": 2}, id_="f", session=first["session"]))["payload"]

        assert (again["session"], other["code"]) == (first["session"], "conflict")
        assert of_fork["session"] not in (session, first["session"])


async def test_a_state_that_is_not_kept_is_not_found():
    """Whichever way it is named, with what there is."""
    async with stage() as made:
        client, session = await prepared(made)
        answers = [
            (await client.ask(*asked))["payload"]
            for asked in (
                ("fork", {"seq": 9}),
                ("pin", {"name": "a", "seq": 9}),
                ("unpin", {"name": "a"}),
                ("open", {"from": {"session": session, "seq": 9}}),
                ("open", {"from": {"session": session, "pin": "a"}}),
            )
        ]
        assert [said["code"] for said in answers] == ["not_found"] * 5
        assert answers[0]["kept"] == [1, 2] and answers[-1]["pins"] == []


async def test_a_session_without_commits_has_nothing_to_share():
    """A fork of it is an empty session; pinning has nothing to pin."""
    async with stage() as made:
        client, _session = await made.opened()
        fork = (await client.ask("fork", id_="f"))["payload"]
        again = (await client.ask("fork", id_="f"))["payload"]
        pinned = (await client.ask("pin", {"name": "a"}))["payload"]

        assert (fork["seq"], again["session"], pinned["code"]) == (0, fork["session"], "not_found")
        assert await values(made, fork["session"], "1 + 1") == ["2"]


async def test_a_class_starts_from_one_prepared_state():
    """The teacher goes on, and closes the book; those who began with the pin have what was pinned."""
    async with stage() as made:
        await with_limits(made, states_kept=1)
        client, session = await prepared(made)
        pinned = (await client.ask("pin", {"name": "lesson-1"}))["payload"]
        await client.eval("x = 'spoiled'")
        history = (await client.ask("history"))["payload"]
        bob = made.connect(principal=Principal("acme", "bob"))
        asked = {"from": {"session": session, "pin": "lesson-1"}, "durability": "async", "park_unsaved": False}
        opened = (await bob.ask("open", asked, id_="o"))["payload"]
        same = (await made.connect(principal=Principal("acme", "bob")).ask("open", asked, id_="o"))["payload"]

        assert (opened["seq"], same["session"]) == (2, opened["session"])
        assert history["pins"] == [pinned] and history["states"] == [3] and pinned["seq"] == 2
        assert (await bob.eval("x"))["output"] == "[1, 2]"
        record = await made.store.read(opened["session"])
        assert record is not None and record.policy.subject == "bob"
        assert (record.policy.durability, record.policy.park_unsaved) == ("async", False)
        await client.ask("close")
        assert await values(made, opened["session"], "x") == ["[1, 2]"]


async def test_a_pin_moves_and_goes():
    """The same name names another state; then none."""
    async with stage() as made:
        client, _ = await prepared(made)
        for seq in (1, 2):
            assert (await client.ask("pin", {"name": "a", "seq": seq}))["payload"]["seq"] == seq
        assert [pin["seq"] for pin in (await client.ask("history"))["payload"]["pins"]] == [2]
        assert (await client.ask("unpin", {"name": "a"}))["payload"] == {"name": "a"}
        assert (await client.ask("history"))["payload"]["pins"] == []


async def test_too_many_pins_are_refused():
    """By the store's limit."""
    async with stage() as made:
        await with_limits(made, pins_max=1)
        client, _ = await prepared(made)
        await client.ask("pin", {"name": "a"})
        assert (await client.ask("pin", {"name": "b"}))["payload"]["code"] == "quota_exceeded"


async def test_a_full_lineage_is_left_by_copying():
    """The copy shares nothing, and holds the same."""
    async with stage() as made:
        await with_limits(made, lineage_max=1)
        client, session = await prepared(made)
        await client.eval("big = bytes(range(256)) * 8000")
        fork = (await client.ask("fork", id_="f"))["payload"]
        again = (await client.ask("fork", id_="f"))["payload"]

        assert lineage_of(fork["session"]) != lineage_of(session) and again["session"] == fork["session"]
        await client.ask("close")
        assert await values(made, fork["session"], "x, len(big)") == ["([1, 2], 2048000)"]


async def test_another_tenants_session_is_nobodys():
    """The same words as for one that never was."""
    async with stage() as made:
        _, session = await prepared(made)
        stranger = made.connect(principal=Principal("other", "eve"))
        there = (await stranger.ask("open", {"from": {"session": session}}))["payload"]
        nowhere = (await stranger.ask("open", {"from": {"session": "ses_" + "a" * 16 + "_" + "a" * 16}}))["payload"]

        assert there["code"] == nowhere["code"] == "not_found" and there["message"] == nowhere["message"]


async def test_a_principal_with_lower_limits_gets_lower_ones():
    """What the parent may does not pass to who forks it."""
    async with stage() as made:
        _, session = await prepared(made)
        bob = made.connect(principal=Principal("acme", "bob", limits={"eval_timeout_s": 3, "idle_timeout_s": 60}))
        fork = (await bob.ask("fork", session=session))["payload"]
        record = await made.store.read(fork["session"])

        assert record is not None
        assert (record.policy.limits["eval_timeout_s"], record.policy.idle_timeout_s) == (3, 60.0)


async def test_two_forks_draw_different_numbers_and_a_restore_draws_the_same():
    """A copy that drew what its sibling draws would give away keys and repeat experiments."""
    async with stage() as made:
        client, session = await made.opened()
        await client.eval("import random; random.seed(7); None")
        forks = [(await client.ask("fork"))["payload"]["session"] for _ in range(2)]
        await killed(made, session)
        drawn = [await values(made, fork, DRAW) for fork in forks]

        assert (await made.connect(session=session).eval(DRAW))["output"] == repr(random.Random(7).random())
        assert drawn[0] != drawn[1] and repr(random.Random(7).random()) not in (drawn[0][0], drawn[1][0])


async def test_a_fork_that_has_committed_keeps_its_generators():
    """It is a session like others then."""
    async with stage() as made:
        client, _ = await made.opened()
        await client.eval("import random; random.seed(7); None")
        fork = (await client.ask("fork"))["payload"]["session"]
        await values(made, fork, "random.seed(9)")
        await killed(made, fork)

        assert await values(made, fork, DRAW) == [repr(random.Random(9).random())]


async def test_numpys_generator_is_reseeded_too():
    """Where it is imported."""
    pytest.importorskip("numpy")
    async with stage() as made:
        client, _ = await made.opened()
        await client.eval("import numpy; numpy.random.seed(7); None")
        forks = [(await client.ask("fork"))["payload"]["session"] for _ in range(2)]
        drawn = [(await values(made, fork, "float(numpy.random.random())"))[0] for fork in forks]

        assert drawn[0] != drawn[1] and (await client.eval("float(numpy.random.random())"))["output"] not in drawn
