"""States over REST: gone back to, copied, pinned, sent away as a file and taken in."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from orchestrator.transports.rest import models
from support.rest import Rest, rest_of
from support.server import TOKEN
from support.stage_door import stage_door

KEY = b"e" * 32


async def prepared(rest: Rest) -> str:
    """The address of a session whose `x` was 1, 2 and 3."""
    place = await rest.opened()
    for number in (1, 2, 3):
        await rest.eval(place, f"x = {number}")
    return place


async def test_a_rewind_by_its_key_is_made_once() -> None:
    """The answer says what was done; the journal has it."""
    async with stage_door() as door, rest_of(door.url, TOKEN) as rest:
        place, headers = await prepared(rest), {"Idempotency-Key": "back"}
        answers = [await rest.ask("POST", f"{place}/rewind", json={"seq": 1}, headers=headers) for _ in range(2)]
        said = [models.Rewound.model_validate(answer.json) for answer in answers]
        other = await rest.ask("POST", f"{place}/rewind", json={"seq": 2}, headers=headers)
        page = models.HistoryPage.model_validate((await rest.ask("GET", f"{place}/history")).json)

        assert [(item.seq, item.to) for item in said] == [(4, 1), (4, 1)] and said[0].etag == said[1].etag
        assert (other.status, other.json["code"]) == (409, "conflict")
        assert (await rest.eval(place, "x"))["output"] == "1"
        assert (page.items[-1].type, page.states, page.pins) == ("rewind", [1, 2, 3, 4], [])


async def test_a_state_that_is_not_kept_is_a_404_with_those_that_are() -> None:
    """As are a missing seq and one that is none (400)."""
    async with stage_door() as door, rest_of(door.url, TOKEN) as rest:
        place = await prepared(rest)
        gone = await rest.ask("POST", f"{place}/rewind", json={"seq": 9})
        bad = [await rest.ask("POST", f"{place}/rewind", json=body) for body in ({}, {"seq": 0}, {"seq": "1"})]

        assert (gone.status, gone.json["code"], gone.json["kept"]) == (404, "not_found", [1, 2, 3])
        assert [answer.status for answer in bad] == [400] * 3
        assert all(answer.json["field"] == "seq" for answer in bad)


async def test_a_fork_has_an_address_of_its_own() -> None:
    """The same key is the same session; another body is refused."""
    async with stage_door() as door, rest_of(door.url, TOKEN) as rest:
        place, headers = await prepared(rest), {"Idempotency-Key": "f"}
        body = {"seq": 2, "name": "b"}
        first, again = [await rest.ask("POST", f"{place}/fork", json=body, headers=headers) for _ in range(2)]
        other = await rest.ask("POST", f"{place}/fork", json={}, headers=headers)
        said = models.Copied.model_validate(first.json)

        assert (first.status, first.headers["Location"]) == (201, f"/v1/sessions/{said.session}")
        assert again.json["session"] == said.session and said.seq == 2
        assert (other.status, other.json["code"]) == (422, "conflict")
        seen = models.Session.model_validate((await rest.ask("GET", first.headers["Location"])).json)
        assert (seen.status, seen.origin) == ("parked", place.rsplit("/", 1)[-1])
        assert (await rest.eval(first.headers["Location"], "x"))["output"] == "2"


async def test_pins_are_put_listed_and_deleted() -> None:
    """And sessions begin with them."""
    async with stage_door() as door, rest_of(door.url, TOKEN) as rest:
        place = await prepared(rest)
        put = await rest.ask("PUT", f"{place}/pins/lesson-1", json={"seq": 2})
        last = await rest.ask("PUT", f"{place}/pins/last")
        pins = models.Pins.model_validate((await rest.ask("GET", f"{place}/pins")).json)
        opened = await rest.opened(**{"from": {"session": place.rsplit("/", 1)[-1], "pin": "lesson-1"}})

        assert (put.status, models.Pin.model_validate(put.json).seq, last.json["seq"]) == (200, 2, 3)
        assert [(pin.name, pin.seq) for pin in pins.items] == [("last", 3), ("lesson-1", 2)]
        assert pins.states == [1, 2, 3] and (await rest.eval(opened, "x"))["output"] == "2"
        named = await rest.ask("PUT", f"{place}/pins/a", json={"name": "b"})
        assert (named.status, named.json["field"]) == (400, "name")
        assert (await rest.ask("DELETE", f"{place}/pins/last")).status == 204
        assert (await rest.ask("DELETE", f"{place}/pins/last")).status == 404
        assert (await rest.ask("PUT", f"{place}/pins/a%2Fb")).status == 404


async def test_a_session_goes_away_as_a_file_and_comes_back() -> None:
    """With a name for the file; whoever asks for the head alone gets no bytes."""
    async with stage_door(export_key=KEY) as door, rest_of(door.url, TOKEN) as rest:
        place = await prepared(rest)
        session = place.rsplit("/", 1)[-1]
        head = await rest.ask("HEAD", f"{place}/export")
        file = await rest.ask("GET", f"{place}/export")
        digest = base64.b64encode(hashlib.sha256(file.body).digest()).decode()
        headers = {"Idempotency-Key": "i", "Content-Digest": f"sha-256=:{digest}:"}
        first, again = [
            await rest.ask("POST", "/v1/sessions/import", data=file.body, headers=headers) for _ in range(2)
        ]
        said = models.Copied.model_validate(first.json)

        assert (file.status, file.headers["Content-Type"]) == (200, "application/octet-stream")
        assert f'filename="{session}.bascule"' in file.headers["Content-Disposition"] and head.body == b""
        assert (first.status, said.seq, said.origin) == (201, 3, session)
        assert (again.status, again.json["session"]) == (201, said.session)
        assert (await rest.eval(first.headers["Location"], "x + 1"))["output"] == "4"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"PK", {}, 400, "bad_message"),
        (b"", {}, 400, "bad_message"),
        (b"x" * 300_001, {}, 413, "too_large"),
        (b"PK", {"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
    ],
)
async def test_what_is_no_file_is_refused(body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    """By its size before it is read."""
    async with stage_door(http={"import_bytes_max": 300_000}, export_key=KEY) as door, rest_of(door.url, TOKEN) as rest:
        answer = await rest.ask("POST", "/v1/sessions/import", data=body, headers=headers)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert answer.json.get("limit", "import_bytes_max") == "import_bytes_max"


async def test_a_digest_that_does_not_fit_plants_nothing() -> None:
    """The bytes came, and were not those that were sent."""
    async with stage_door(export_key=KEY) as door, rest_of(door.url, TOKEN) as rest:
        place = await prepared(rest)
        file = await rest.ask("GET", f"{place}/export")
        headers = {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}
        answer = await rest.ask("POST", "/v1/sessions/import", data=file.body, headers=headers)
        listed = (await rest.ask("GET", "/v1/sessions")).json["items"]

        assert answer.status == 400 and len(listed) == 1


async def test_without_a_key_there_are_no_files() -> None:
    """It says which setting is missing."""
    async with stage_door() as door, rest_of(door.url, TOKEN) as rest:
        place = await prepared(rest)
        answers: list[Any] = [
            await rest.ask("GET", f"{place}/export"), await rest.ask("POST", "/v1/sessions/import", data=b"x")
        ]  # fmt: skip
        assert [(answer.status, answer.json["code"]) for answer in answers] == [(403, "forbidden")] * 2
        assert all("keys.export" in answer.json["detail"] for answer in answers)


async def test_a_file_that_breaks_off_is_no_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the state go while it is sent: the connection ends early, and so does the file."""
    async with stage_door(export_key=KEY) as door, rest_of(door.url, TOKEN) as rest:
        place = await prepared(rest)

        async def none(*_: Any) -> dict[bytes, bytes]:
            return {}

        await rest.eval(place, "import os; big = os.urandom(500_000)")
        monkeypatch.setattr(door.stage.store, "chunks", none)
        with pytest.raises(Exception, match=r"not completed|closed|Payload|disconnected") as caught:
            await rest.ask("GET", f"{place}/export")
        assert type(caught.value).__module__.startswith("aiohttp")
