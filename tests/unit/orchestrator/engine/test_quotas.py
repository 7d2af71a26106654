"""A tenant at its quota: every way to one more session is refused, nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.core.principal import Principal
from replwire.errors import WireError
from support.engine_stage import Client, Stage, stage

FULL = {"sessions_max": 1}


def refusals(made: Stage) -> float:
    """As the metrics have them."""
    found = made.metrics.registry.get_sample_value("bascule_quota_refusals_total", {"limit": "sessions_max"})
    return found or 0.0


async def refused(client: Client, type_: str, payload: Any, most: int = 1, count: int = 1) -> None:
    """For the quota, with what helps."""
    answer = await client.ask(type_, payload)
    said = answer["payload"]
    assert (answer["type"], said["code"], said["retryable"]) == ("error", "quota_exceeded", True)
    assert (said["limit"], said["max"], said["open"]) == ("sessions_max", most, count)
    assert said["retry_after_ms"] and "close" in said["message"]


async def test_every_way_to_one_more_session_is_refused():
    """New ones, copies, and the one of a client that never said `open`; the session that is there goes on."""
    async with stage(limits=FULL) as made:
        client, session = await made.opened()
        await client.eval("x = 1")
        for type_, payload in (
            ("open", {}),
            ("fork", {}),
            ("open", {"from": {"session": session}}),
            ("fork", {"seq": 1}),
        ):
            await refused(client, type_, payload)
        await refused(made.connect(), "eval", {"code": "1"})
        assert refusals(made) == 5
        assert (await client.eval("x"))["output"] == "1"
        stranger = made.connect(principal=Principal("other", "ann"))
        assert (await stranger.ask("open"))["type"] == "reply"


async def test_closing_one_makes_room_and_a_repeated_open_needs_none():
    """The id of an `open` is its session's, however many there are."""
    async with stage(limits=FULL) as made:
        client = made.connect()
        first = (await client.ask("open", {}, id_="o"))["payload"]["session"]
        again = made.connect()
        assert (await again.ask("open", {}, id_="o"))["payload"]["session"] == first
        await refused(again, "open", {})
        await client.ask("close")
        assert (await again.ask("open", {}))["payload"]["session"] != first


async def test_an_empty_session_is_copied_within_the_quota():
    """There is no state to fork from: the copy is a new session, and takes a place like one."""
    async with stage(limits={"sessions_max": 2}) as made:
        client, _session = await made.opened()
        assert (await client.ask("fork"))["type"] == "reply"
        await refused(client, "fork", {}, 2, 2)


async def test_a_principal_may_be_allowed_fewer_than_its_tenant():
    """What the tenant has is compared with the limit of who asks; `describe` tells it, and no session has one."""
    async with stage(limits={"sessions_max": 3}) as made:
        await made.opened()
        guest = made.connect(principal=Principal("acme", "guest", limits={"sessions_max": 1}))
        await refused(guest, "open", {})
        assert (await guest.ask("describe"))["payload"]["limits"]["sessions_max"] == 1
        ann = made.connect()
        assert (await ann.ask("describe"))["payload"]["limits"]["sessions_max"] == 3
        said = (await ann.ask("open", {"limits": {"sessions_max": 2}}))["payload"]
        assert (said["code"], said["field"]) == ("bad_message", "payload.limits.sessions_max")
        assert (await ann.ask("open"))["type"] == "reply"


async def test_a_file_is_imported_within_the_quota():
    """Refused at its end, and taken when there is room."""
    async with stage(limits=FULL, export_key=b"e" * 32) as made:
        client, session = await made.opened()
        await client.eval("x = 7")
        ann, transfers = Principal("acme", "ann"), made.engine.transfers
        data = b"".join([piece async for piece in await transfers.export(ann, session)])

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        with pytest.raises(WireError) as caught:
            await transfers.import_(ann, "i", pieces())
        assert (caught.value.code, refusals(made)) == ("quota_exceeded", 1)
        await client.ask("close")
        said = await transfers.import_(ann, "i", pieces())
        assert (await made.connect(session=said["session"]).eval("x"))["output"] == "7"
