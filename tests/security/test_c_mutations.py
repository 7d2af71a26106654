"""Group C of the catalogue on both roads: good messages with pieces changed, by the thousand."""

import json
from collections import Counter
from random import Random
from typing import Any

import aiohttp
import pytest

from support.client import Envelope, connect
from support.reckoning import Reckoning
from support.rest import Rest, rest_of
from support.server import TOKEN, Server
from support.undisturbed import undisturbed

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

NO_SESSION = "ses_" + "a" * 16 + "_" + "b" * 16
MUTATIONS = 2000
MUTATIONS_AT_ONCE = 100
"""On one connection."""
MUTATED_BODIES = 1000

GOOD: list[Envelope] = [
    {"id": "a", "type": "eval", "payload": {"code": "1 + 1", "stream": True, "timeout_s": 5}, "timestamp": 1},
    {"id": "b", "type": "complete", "payload": {"code": "prin", "cursor": 4}, "timestamp": 1.5},
    {"id": "c", "type": "history", "payload": {"from": 1, "to": 2}, "timestamp": 1},
    {"id": "d", "type": "interrupt", "payload": {"target": "a"}, "timestamp": 1},
    {"id": "e", "type": "files", "payload": {"op": "list", "path": "."}, "timestamp": 1},
    {"id": "f", "type": "attach", "payload": {"session": NO_SESSION, "cursor": "1.2"}, "timestamp": 1},
]
GOOD_BODIES: dict[str, Envelope] = {
    "evals": {"code": "1 + 1", "timeout_s": 5},
    "complete": {"code": "prin", "cursor": 4},
    "inspect": {"code": "print", "cursor": 4},
    "interrupt": {"target": "a"},
    "input": {"target": "a", "text": "1"},
}


async def test_c27_mutated_envelopes_are_answered_and_harm_nobody(embedded: Server, reckoning: Reckoning) -> None:
    """Good envelopes with pieces changed, cut and doubled; always the same ones, so that a failure comes again."""
    random = Random(27)
    counts: Counter[str] = Counter()
    async with undisturbed(embedded):
        while counts["sent"] < MUTATIONS:
            async with connect(embedded.url, TOKEN) as client:
                try:
                    for n in range(MUTATIONS_AT_ONCE):
                        await client.socket.send_str(mutated(random, random.choice(GOOD)))
                        counts["sent"] += 1
                        if n % 8 == 7:
                            await client.ask("ping")
                except (ConnectionError, aiohttp.ClientError):
                    counts["closed"] += 1
                    assert client.socket.close_code == 1008
                counts.update(item["payload"]["code"] for item in client.events("error"))
    reckoning.add("mutated envelopes over WebSocket", counts["sent"], counts["internal"])
    assert counts["internal"] == 0 and counts["bad_message"] > MUTATIONS / 10
    assert "Traceback" not in embedded.log()


async def test_c27_mutated_bodies_are_answered_and_harm_nobody(freely_asked: Server, reckoning: Reckoning) -> None:
    """The same over HTTP: a result or a problem each, and none is a fault of ours."""
    random, counts = Random(28), Counter[str]()
    async with rest_of(freely_asked.url, TOKEN) as rest:
        place = await rest.opened()
        async with undisturbed(freely_asked):
            for _ in range(MUTATED_BODIES):
                counts[await asked_wrongly(rest, place, random)] += 1
    reckoning.add("mutated bodies over HTTP", counts.total(), counts["internal"])
    assert counts["internal"] == 0 and counts["bad_message"] > MUTATED_BODIES / 10
    assert "Traceback" not in freely_asked.log()


async def asked_wrongly(rest: Rest, place: str, random: Random) -> str:
    """The code of the answer, or `done`."""
    name = random.choice(list(GOOD_BODIES))
    data = mutated(random, GOOD_BODIES[name]).encode("utf-8", "surrogatepass")
    answer = await rest.ask("POST", f"{place}/{name}", data=data, headers={"Content-Type": "application/json"})
    if answer.status < 400:
        return "done"
    said: dict[str, Any] = answer.json
    assert said["status"] == answer.status
    return str(said["code"])


def mutated(random: Random, good: Envelope) -> str:
    """One good message, changed in up to three places."""
    text = json.dumps(good)
    for _ in range(random.randint(1, 3)):
        at, length = random.randrange(len(text)), random.randint(0, 4)
        strange = chr(random.randrange(1, 0xD7FF))
        middle = random.choice(["", text[at : at + length] * 2, strange, "null", "-1", "{", '"'])
        text = text[:at] + middle + text[at + length :]
    return text
