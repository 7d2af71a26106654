"""A client with a good token and bad messages, against the real server: each is answered, none is run, it goes on."""

import asyncio
import json
from collections import Counter
from random import Random

import aiohttp
import pytest

from support.client import Envelope, ReplClient, connect
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

NO_SESSION = "ses_" + "a" * 16 + "_" + "b" * 16

BAD_TEXTS = {
    "C03 open brackets": "[" * 100_000,
    "C03 open objects": '{"a":' * 100_000,
    "C03 closed": '{"id":"i","type":"ping","x":' + "[" * 100 + "]" * 100 + "}",
    "C04 huge number": '{"id":"i","type":"ping","timestamp":' + "9" * 100_000 + "}",
    "C05 NaN": '{"id":"i","type":"ping","timestamp":NaN}',
    "C05 infinity": '{"id":"i","type":"ping","timestamp":-Infinity}',
    "C05 out of range": '{"id":"i","type":"ping","timestamp":1e999}',
    "C06 duplicate": '{"id":"a","id":"b","type":"ping"}',
    "C06 by an escape": '{"id":"i","type":"eval","payload":{"code":"1","cod\\u0065":"2"}}',
    "C07 in code": '{"id":"i","type":"eval","payload":{"code":"\'\\ud800\'"}}',
    "C07 in a key": '{"id":"i","type":"ping","\\udfff":1}',
    "no JSON": "hello",
    "no object": "[]",
    "nothing": "",
    "more than one": '{"id":"i","type":"ping"} {}',
    "byte order mark": '\ufeff{"id":"i","type":"ping"}',
}

BAD_FIELDS: dict[str, tuple[str, Envelope, Envelope, str, str | None]] = {
    "C08 code": ("eval", {"code": None}, {}, "bad_message", "payload.code"),
    "C08 time": ("eval", {"code": "1", "timeout_s": True}, {}, "bad_message", "payload.timeout_s"),
    "C08 seq": ("eval", {"code": "1", "if_seq": 1.5}, {}, "bad_message", "payload.if_seq"),
    "C08 stamp": ("ping", {}, {"timestamp": "now"}, "bad_message", "timestamp"),
    "C09 type": ("frob", {}, {}, "unknown_type", None),
    "C09 an answer": ("result", {"output": "1"}, {}, "unknown_type", None),
    "C09 field": ("eval", {"code": "1", "shell": True}, {}, "bad_message", "payload.shell"),
    "C25 cancel": ("cancel", {"target": "never"}, {}, "not_found", None),
    "A19 attach": ("attach", {"session": NO_SESSION}, {}, "not_found", None),
    "A19 path": ("attach", {"session": "../../etc/passwd"}, {}, "not_found", None),
    "A19 eval": ("eval", {"code": "1"}, {"session": NO_SESSION}, "not_found", None),
    "C28 cursor": ("attach", {"session": NO_SESSION, "cursor": "\u0000-1"}, {}, "bad_message", "payload.cursor"),
}

MUTATIONS = 2000
MUTATIONS_AT_ONCE = 100
"""On one connection."""

GOOD: list[Envelope] = [
    {"id": "a", "type": "eval", "payload": {"code": "1 + 1", "stream": True, "timeout_s": 5}, "timestamp": 1},
    {"id": "b", "type": "complete", "payload": {"code": "prin", "cursor": 4}, "timestamp": 1.5},
    {"id": "c", "type": "history", "payload": {"from": 1, "to": 2}, "timestamp": 1},
    {"id": "d", "type": "interrupt", "payload": {"target": "a"}, "timestamp": 1},
    {"id": "e", "type": "files", "payload": {"op": "list", "path": "."}, "timestamp": 1},
    {"id": "f", "type": "attach", "payload": {"session": NO_SESSION, "cursor": "1.2"}, "timestamp": 1},
]

BAD_IDS = ["", "a\nb", "a\0b", "é", "ﬀ", "x" * 129, "x" * 500_000, 1, None, ["a"], True]


async def still_serves(client: ReplClient) -> None:
    """The connection and its session go on."""
    assert (await client.eval("40 + 2"))["output"] == "42"


async def nth_error(client: ReplClient, count: int) -> Envelope:
    """Wait for so many answers that are errors; the last of them."""

    def is_it(envelope: Envelope) -> bool:
        return len(client.events("error")) >= count and envelope is client.events("error")[count - 1]

    return await client.wait_for(is_it)


async def test_c03_to_c07_what_is_no_envelope_is_answered_and_harms_nobody(embedded: Server) -> None:
    """One `error` each, without an id since none can be believed, and then the conversation goes on."""
    async with connect(embedded.url, TOKEN) as client:
        for count, (name, text) in enumerate(BAD_TEXTS.items(), 1):
            await client.socket.send_str(text)
            answer = await nth_error(client, count)
            assert (answer["payload"]["code"], answer.get("id")) == ("bad_message", None), name
            assert len(json.dumps(answer)) < 1000, name
        await still_serves(client)


async def test_c08_c09_c25_a19_bad_fields_are_named(embedded: Server) -> None:
    """Under the id of the request, with the field that is wrong."""
    async with connect(embedded.url, TOKEN) as client:
        for name, (type_, payload, more, code, field) in BAD_FIELDS.items():
            answer = await client.terminal(await envelope(client, name, type_, payload, more))
            assert (answer["type"], answer["payload"]["code"]) == ("error", code), name
            assert answer["payload"].get("field") == field, name
        await still_serves(client)


async def envelope(client: ReplClient, id_: str, type_: str, payload: Envelope, more: Envelope) -> str:
    """Send one whose fields are as given; its id."""
    await client.socket.send_json({"id": id_, "type": type_, "payload": payload, "timestamp": 1, **more})
    return id_


async def test_c13_an_id_that_is_none_is_refused_and_not_logged(embedded: Server) -> None:
    """Neither the answer nor a line of the log holds it."""
    async with connect(embedded.url, TOKEN) as client:
        for count, id_ in enumerate(BAD_IDS, 1):
            await client.socket.send_json({"id": id_, "type": "ping"})
            assert (await nth_error(client, count))["payload"]["field"] == "id"
        await still_serves(client)
    assert "x" * 129 not in embedded.log()


async def test_too_many_bad_messages_are_1008(embedded: Server) -> None:
    """After the last one that is borne; each of them was answered."""
    async with connect(embedded.url, TOKEN) as client:
        for _ in range(30):
            await client.socket.send_str("nonsense")
        with pytest.raises(ConnectionError, match="1008"):
            await client.wait_for(lambda _: False)
        assert len(client.events("error")) == 20


async def test_c10_c11_an_id_runs_once(embedded: Server) -> None:
    """The same body gets the stored answer, another body a conflict."""
    async with connect(embedded.url, TOKEN) as client:
        first = await client.ask("eval", {"code": "import os; os.urandom(8)"}, id_="once")
        again = await client.ask("eval", {"code": "import os; os.urandom(8)"}, id_="once")
        other = await client.ask("eval", {"code": "1"}, id_="once")
    assert first["payload"]["output"] == again["payload"]["output"]
    assert other["payload"]["code"] == "conflict"


async def test_c12_the_same_id_at_once_on_two_connections_runs_once(embedded: Server) -> None:
    """Both get the one result."""
    body = {"code": "import os, time; time.sleep(0.3); os.urandom(8)"}
    async with connect(embedded.url, TOKEN) as one, connect(embedded.url, TOKEN) as other:
        session = (await one.ask("open"))["payload"]["session"]
        await other.ask("attach", {"session": session})
        answers = await asyncio.gather(one.ask("eval", body, id_="same"), other.ask("eval", body, id_="same"))
        assert answers[0]["payload"] == answers[1]["payload"]
        assert answers[0]["payload"]["seq"] == 1
        assert (await one.eval("1"))["seq"] == 2


async def test_c23_a_thousand_evals_at_once_are_answered_each(embedded: Server) -> None:
    """As many as may wait are run, in order; the others are `busy` with a time, and nothing is lost."""
    async with connect(embedded.url, TOKEN) as client:
        waiting_max = (await client.ask("describe"))["payload"]["limits"]["requests_waiting_max"]
        await client.eval("import time; ran = []")
        ids = [
            await client.send("eval", {"code": f"time.sleep(0.5 * (not ran)); ran.append({n}); len(ran)"})
            for n in range(1000)
        ]
        answers = [await client.terminal(id_) for id_ in ids]
        refused = [answer["payload"] for answer in answers if answer["type"] == "error"]
        assert {(error["code"], error["retryable"]) for error in refused} == {("busy", True)}
        assert all(error["retry_after_ms"] > 0 for error in refused)
        done = [n for n, answer in enumerate(answers) if answer["type"] == "result"]
        assert waiting_max < len(done) < 1000
        assert (await client.eval("ran"))["output"] == repr(done)


async def test_c27_mutated_envelopes_are_answered_and_harm_nobody(embedded: Server) -> None:
    """Good envelopes with pieces changed, cut and doubled; always the same ones, so that a failure comes again."""
    random = Random(27)
    counts: Counter[str] = Counter()
    while counts["sent"] < MUTATIONS:
        async with connect(embedded.url, TOKEN) as client:
            try:
                for n in range(MUTATIONS_AT_ONCE):
                    await client.socket.send_str(mutated(random))
                    counts["sent"] += 1
                    if n % 8 == 7:
                        await client.ask("ping")
            except (ConnectionError, aiohttp.ClientError):
                counts["closed"] += 1
                assert client.socket.close_code == 1008
            counts.update(item["payload"]["code"] for item in client.events("error"))
    print(dict(counts))
    assert counts["internal"] == 0 and counts["bad_message"] > MUTATIONS / 10
    assert "Traceback" not in embedded.log()
    async with connect(embedded.url, TOKEN) as client:
        await still_serves(client)


def mutated(random: Random) -> str:
    """One good envelope, changed in up to three places."""
    text = json.dumps(random.choice(GOOD))
    for _ in range(random.randint(1, 3)):
        at, length = random.randrange(len(text)), random.randint(0, 4)
        strange = chr(random.randrange(1, 0xD7FF))
        middle = random.choice(["", text[at : at + length] * 2, strange, "null", "-1", "{", '"'])
        text = text[:at] + middle + text[at + length :]
    return text
