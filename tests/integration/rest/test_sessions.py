"""Sessions over REST on a real server: opened once, listed, looked at, closed; other tenants' do not exist."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.auth.api_keys import append_entry, new_key
from orchestrator.transports.rest import models
from support.commits import fresh_session
from support.rest import rest_of
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]


async def test_a_session_from_open_to_close(embedded: Server) -> None:
    """Each answer has the form that the document promises."""
    async with rest_of(embedded.url, TOKEN) as rest:
        opened = await rest.ask("POST", "/v1/sessions", json={"name": "notes", "durability": "commit"})
        models.Opened.model_validate(opened.json)
        place = opened.headers["Location"]
        assert (opened.status, place) == (201, f"/v1/sessions/{opened.json['session']}")
        await rest.eval(place, "x = 20")
        seen = models.Session.model_validate((await rest.ask("GET", place)).json)
        assert (seen.name, seen.seq, seen.status, seen.durability) == ("notes", 1, "ready", "commit")
        assert (await rest.ask("HEAD", place)).status == 200
        names = models.Variables.model_validate((await rest.ask("GET", f"{place}/variables?prefix=x")).json)
        assert [(name.name, name.repr) for name in names.variables] == [("x", "20")]
        assert (await rest.ask("DELETE", place)).status == 204
        gone = await rest.ask("GET", place)
        assert (gone.status, gone.json["code"]) == (410, "session_gone")
        assert (await rest.ask("DELETE", place)).status == 410


async def test_sessions_come_in_pages_and_other_tenants_do_not_exist(state: Path) -> None:
    """The same body for a session of another tenant's and for one that never was."""
    key, entry = new_key("acme", "ci")
    append_entry(state / "keys.toml", entry)
    server = Server(state / "state", "--embedded", "--keys-file", str(state / "keys.toml"))
    await server.start()
    try:
        async with rest_of(server.url, TOKEN) as rest, rest_of(server.url, key) as other:
            made = [await rest.opened(name=str(number)) for number in range(3)]
            foreign = await other.opened()
            first = models.SessionPage.model_validate((await rest.ask("GET", "/v1/sessions?limit=2")).json)
            rest_of_them = await rest.ask("GET", f"/v1/sessions?limit=2&cursor={first.next_cursor}")
            found = [item.session for item in first.items] + [item["session"] for item in rest_of_them.json["items"]]
            assert [f"/v1/sessions/{session}" for session in found] == made[::-1]
            assert rest_of_them.json["next_cursor"] is None
            never = f"/v1/sessions/{fresh_session()}"
            for ending in ("", "/variables", "/history", "/evals/e", "/files/", "/files/a"):
                bodies = [(await rest.ask("GET", place + ending)).json for place in (foreign, never)]
                for body in bodies:
                    for varying in ("instance", "incident", "session"):
                        body.pop(varying, None)
                assert bodies[0] == bodies[1] and bodies[0]["status"] == 404, ending
            assert (await rest.ask("DELETE", foreign)).status == 404
            assert (await other.ask("GET", foreign)).status == 200
    finally:
        await server.stop()


async def test_an_open_with_a_key_is_made_once(embedded: Server) -> None:
    """At the same time, afterwards, and by a server that was started again; another body is refused."""
    headers = {"Idempotency-Key": '"open-1"'}
    async with rest_of(embedded.url, TOKEN) as rest:
        same = [rest.ask("POST", "/v1/sessions", json={"name": "a"}, headers=headers) for _ in range(4)]
        answers = await asyncio.gather(*same)
        assert {answer.status for answer in answers} == {201}
        (session,) = {answer.json["session"] for answer in answers}
        other = await rest.ask("POST", "/v1/sessions", json={"name": "b"}, headers=headers)
        assert (other.status, other.json["code"]) == (422, "conflict")
        assert len((await rest.ask("GET", "/v1/sessions")).json["items"]) == 1
    await embedded.kill()
    await embedded.start()
    async with rest_of(embedded.url, TOKEN) as rest:
        again = await rest.ask("POST", "/v1/sessions", json={"name": "a"}, headers={"Idempotency-Key": "open-1"})
        assert (again.status, again.json["session"]) == (201, session)


async def test_the_journal_comes_in_pages(embedded: Server) -> None:
    """All of it, each entry once, the oldest first."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        for number in range(5):
            await rest.eval(place, f"{number}")
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await rest.ask("GET", f"{place}/history?limit=2{cursor and f'&cursor={cursor}'}")
            page = models.HistoryPage.model_validate(answer.json)
            found += [entry.body["code"] for entry in page.items]
            cursor = page.next_cursor
        assert (found, page.seq) == (["0", "1", "2", "3", "4"], 5)
        part = (await rest.ask("GET", f"{place}/history?from=2&to=4")).json
        assert ([entry["seq"] for entry in part["items"]], part["next_cursor"]) == ([2, 3, 4], None)
        for wrong in ("limit=0", "limit=1_0", "limit=101", "cursor=x", "cursor=seq-x", "from=-1", "who=1", "to=1&to=2"):
            answer = await rest.ask("GET", f"{place}/history?{wrong}")
            assert (answer.status, answer.json["code"]) == (400, "bad_message"), wrong
            assert answer.json["field"] == wrong.partition("=")[0]
