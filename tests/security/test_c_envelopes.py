"""Group C of the catalogue on both roads: a client with a good token and bad messages. Each is answered, none is run,
it may go on, and nobody else notices."""

import json

import pytest

from support.client import Envelope, ReplClient, connect
from support.rest import rest_of
from support.roads import ROADS, HttpRoad, Road, WebSocketRoad, on_both_roads
from support.server import TOKEN, Server
from support.undisturbed import undisturbed

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

NO_SESSION = "ses_" + "a" * 16 + "_" + "b" * 16

BAD_PAYLOADS = {
    "C03 open brackets": '{"code":' + "[" * 100_000,
    "C03 open objects": '{"code":' * 100_000,
    "C03 closed": '{"code":"1","x":' + "[" * 100 + "]" * 100 + "}",
    "C04 huge number": '{"code":"1","timeout_s":' + "9" * 100_000 + "}",
    "C05 NaN": '{"code":"1","timeout_s":NaN}',
    "C05 infinity": '{"code":"1","timeout_s":-Infinity}',
    "C05 out of range": '{"code":"1","timeout_s":1e999}',
    "C06 duplicate": '{"code":"1","code":"2"}',
    "C06 by an escape": '{"code":"1","cod\\u0065":"2"}',
    "C07 in code": '{"code":"\'\\ud800\'"}',
    "C07 in a key": '{"code":"1","\\udfff":1}',
}

BAD_WHOLES = {
    "no JSON": "hello",
    "no object": "[]",
    "nothing": "",
    "more than one": '{"id":"i","type":"ping"} {}',
    "byte order mark": '\ufeff{"id":"i","type":"ping"}',
}

BAD_FIELDS: dict[str, tuple[str, Envelope, str | dict[str, str], str | None]] = {
    "C08 code": ("eval", {"code": None}, "bad_message", "code"),
    "C08 code as a list": ("eval", {"code": ["1"]}, "bad_message", "code"),
    "C08 time": ("eval", {"code": "1", "timeout_s": True}, "bad_message", "timeout_s"),
    "C08 negative time": ("eval", {"code": "1", "timeout_s": -1}, "bad_message", "timeout_s"),
    "C08 seq": ("eval", {"code": "1", "if_seq": 1.5}, "bad_message", "if_seq"),
    "C08 seq without end": ("eval", {"code": "1", "if_seq": 1e308}, "bad_message", "if_seq"),
    "C08 place": ("complete", {"code": "1", "cursor": "1"}, "bad_message", "cursor"),
    "C09 type": ("frob", {}, {"websocket": "unknown_type", "http": "not_found"}, None),
    "C09 an answer": ("result", {"output": "1"}, {"websocket": "unknown_type", "http": "not_found"}, None),
    "C09 field": ("eval", {"code": "1", "shell": True}, "bad_message", "shell"),
    "C25 cancel": ("cancel", {"target": "never"}, "not_found", None),
    "C25 input": ("input", {"target": "never", "text": "1"}, "not_found", None),
    "A19 attach": ("attach", {"session": NO_SESSION}, "not_found", None),
    "A19 path": ("attach", {"session": "../../etc/passwd"}, "not_found", None),
}

BAD_CURSORS = ("x", "1", "-1.2", "1.-2", "1.2.3", "9" * 30 + ".1", "1.2\n")

BAD_KEYS = ["", "a\tb", "é", "ﬀ", "x" * 129, "x" * 8000]
"""Ids that a header can hold; what it cannot hold is no request at all."""
BAD_IDS = ["", "a\nb", "a\0b", "é", "ﬀ", "x" * 129, "x" * 500_000, 1, None, ["a"], True]


async def still_serves(road: Road) -> None:
    """The client and its session go on."""
    assert (await road.ask("eval", {"code": "40 + 2"})).output == "42"


@on_both_roads
async def test_c03_to_c07_what_is_no_envelope_is_answered_and_harms_nobody(embedded: Server, road_name: str) -> None:
    """One error each, whose size does not follow theirs, and then the conversation goes on."""
    async with ROADS[road_name](embedded.url) as road, undisturbed(embedded):
        said = {name: await road.say(payload) for name, payload in BAD_PAYLOADS.items()}
        said |= {name: await road.say_whole(text) for name, text in BAD_WHOLES.items()}
        for name, answer in said.items():
            assert answer.code == "bad_message", name
            assert len(json.dumps(answer.payload)) < 1000, name
        await still_serves(road)


async def test_c03_what_is_no_envelope_is_answered_without_an_id(embedded: Server) -> None:
    """Since none that it seems to have can be believed."""
    async with connect(embedded.url, TOKEN) as client:
        for count, text in enumerate([*BAD_PAYLOADS.values(), *BAD_WHOLES.values()], 1):
            await client.socket.send_str(text)
            assert (await nth_error(client, count)).get("id") is None


async def nth_error(client: ReplClient, count: int) -> Envelope:
    """Wait for so many answers that are errors; the last of them."""

    def is_it(envelope: Envelope) -> bool:
        return len(client.events("error")) >= count and envelope is client.events("error")[count - 1]

    return await client.wait_for(is_it)


@on_both_roads
async def test_c08_c09_c25_a19_bad_fields_are_named(embedded: Server, road_name: str) -> None:
    """Under the id of the request, with the field that is wrong."""
    async with ROADS[road_name](embedded.url) as road, undisturbed(embedded):
        for name, (type_, payload, code, field) in BAD_FIELDS.items():
            said = await road.ask(type_, payload)
            assert said.code == (code if isinstance(code, str) else code[road_name]), name
            assert said.field == field or code == "not_found", name
        await still_serves(road)


async def test_c08_c09_what_only_envelopes_have(embedded: Server) -> None:
    """Times and sessions beside the payload; what is unknown there is ignored, as newer clients may say more."""
    async with connect(embedded.url, TOKEN) as client:
        for more, code, field in (
            ({"timestamp": "now"}, "bad_message", "timestamp"),
            ({"session": NO_SESSION}, "not_found", None),
            ({"session": 1}, "bad_message", "session"),
        ):
            said = await client.ask("eval", {"code": "1"}, **more)
            assert (said["payload"]["code"], said["payload"].get("field")) == (code, field)
        assert (await client.ask("ping", version=99, more="x"))["type"] == "pong"


@on_both_roads
async def test_c13_an_id_that_is_none_is_refused_and_not_logged(embedded: Server, road_name: str) -> None:
    """Neither the answer nor a line of the log holds it."""
    async with ROADS[road_name](embedded.url) as road, undisturbed(embedded):
        if isinstance(road, WebSocketRoad):
            for count, id_ in enumerate(BAD_IDS, 1):
                await road.client.socket.send_json({"id": id_, "type": "ping"})
                assert (await nth_error(road.client, count))["payload"]["field"] == "id"
        else:
            for key in BAD_KEYS:
                said = await road.ask("eval", {"code": "1"}, id_=key)
                assert (said.code, said.field) == ("bad_message", "Idempotency-Key"), key
        await still_serves(road)
    assert "x" * 129 not in embedded.log()


async def test_c13_an_id_in_an_address_is_looked_up_and_no_path(embedded: Server) -> None:
    """Whatever it holds, it names an eval of this session or nothing."""
    async with rest_of(embedded.url, TOKEN) as rest, undisturbed(embedded):
        place = await rest.opened()
        for id_ in ("..%2f..%2fetc%2fpasswd", "%00", "a%0ab", "{}", "%ef%ac%80", "x" * 129, "x" * 7000):
            answer = await rest.ask("GET", f"{place}/evals/{id_}")
            assert (answer.status, answer.json["code"]) in ((404, "not_found"), (400, "bad_message")), id_
    assert "x" * 129 not in embedded.log()


@on_both_roads
async def test_c14_what_is_not_text_is_refused(embedded: Server, road_name: str) -> None:
    """Bytes where text is expected, and text that is not UTF-8: the connection or the request ends with a code."""
    async with undisturbed(embedded):
        for data in (b'{"code":"1"}', b"\xff\xfe", b'{"code":"\xed\xa0\x80"}'):
            async with ROADS[road_name](embedded.url) as road:
                if isinstance(road, WebSocketRoad):
                    await road.client.socket.send_bytes(data)
                    with pytest.raises(ConnectionError, match="1003"):
                        await road.client.wait_for(lambda said: said["type"] == "result")
                else:
                    assert isinstance(road, HttpRoad)
                    kind = {"Content-Type": "application/octet-stream"}
                    answer = await road.rest.ask("POST", f"{road.place}/evals", data=data, headers=kind)
                    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
                    if data[:1] == b"\xff" or b"\xed" in data:
                        assert (await road.say_whole(data)).code == "bad_message"
                    await still_serves(road)


@on_both_roads
async def test_c25_what_runs_in_another_session_cannot_be_touched(embedded: Server, road_name: str) -> None:
    """Neither cancelled, interrupted nor answered, by its id; and what is over stays as it ended."""
    async with ROADS[road_name](embedded.url) as road, connect(embedded.url, TOKEN) as other, undisturbed(embedded):
        code = "import time; print('on'); time.sleep(1); 'whole'"
        running = await other.send("eval", {"code": code, "stream": True}, id_="theirs")
        await other.wait_for(lambda said: said["type"] == "stream")
        assert (await road.ask("cancel", {"target": running})).code == "not_found"
        assert (await road.ask("input", {"target": running, "text": "1"})).code == "not_found"
        assert (await road.ask("interrupt", {"target": running})).payload["status"] in ("idle", "mismatch")
        assert (await other.terminal(running))["payload"]["output"] == "'whole'"
        assert (await road.ask("eval", {"code": "1"}, id_="mine")).output == "1"
        assert (await road.ask("cancel", {"target": "mine"})).code == "not_found"
        assert (await road.ask("interrupt", {"target": "mine"})).payload["status"] in ("idle", "mismatch")
        assert (await road.ask("eval", {"code": "1"}, id_="mine")).output == "1"


@on_both_roads
async def test_c28_cursors_that_cannot_be_are_refused(embedded: Server, road_name: str) -> None:
    """Before anything is sent; the field is named."""
    async with ROADS[road_name](embedded.url) as road, undisturbed(embedded):
        for cursor in BAD_CURSORS:
            said = await road.ask("attach", {"session": road.session, "cursor": cursor})
            assert (said.code, said.field) == ("bad_message", "cursor"), cursor
        await still_serves(road)


async def test_too_many_bad_messages_are_1008(embedded: Server) -> None:
    """After the last one that is borne; each of them was answered."""
    async with connect(embedded.url, TOKEN) as client, undisturbed(embedded):
        for _ in range(30):
            await client.socket.send_str("nonsense")
        with pytest.raises(ConnectionError, match="1008"):
            await client.wait_for(lambda _: False)
        assert len(client.events("error")) == 20
