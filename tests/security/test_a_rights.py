"""Group A of the catalogue: sessions of other tenants, roles and scopes, and what nobody but an admin may see."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from orchestrator.auth.dev_token import DevToken
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.core.principal import Principal
from orchestrator.stores.memory import MemoryStore
from support.engine_stage import Client, Stage, stage
from support.front_door import TOKEN, front_door
from support.identities import PATIENT, asking
from support.tokens import Issuer

STRANGER = Principal("globex", "eve")
NOBODY = f"ses_{'a' * 16}_{'b' * 16}"


class NotingStore(MemoryStore):
    """The in-memory store that notes what it is asked, without the session's id."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in ("asked", "touch", "facts", "sweep_chunks", "sessions"):
            object.__getattribute__(self, "asked").append(name)
        return super().__getattribute__(name)


@pytest.fixture
async def made() -> AsyncIterator[Stage]:
    """An engine whose store notes what it is asked."""
    async with stage(store=NotingStore()) as made:
        yield made


ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "attach": ("attach", {"session": "?"}),
    "attach to watch": ("attach", {"session": "?", "role": "observer"}),
    "resume": ("attach", {"session": "?", "cursor": "1.1"}),
    "eval": ("eval", {"code": "1"}),
    "variables": ("variables", {}),
    "history": ("history", {}),
    "download": ("files", {"op": "read", "path": "a"}),
    "list": ("files", {"op": "list", "path": ""}),
    "delete": ("files", {"op": "delete", "path": "a"}),
    "interrupt": ("interrupt", {}),
    "cancel": ("cancel", {"target": "a"}),
    "input": ("input", {"target": "a", "text": "b"}),
    "close": ("close", {}),
}


async def asked_of(made: Stage, name: str, session: str) -> tuple[dict[str, Any], list[str]]:
    """What a stranger hears of a session, its id and the incident left out, and what the store was asked for that."""
    type_, payload = ASKED[name]
    client, store = made.connect(principal=STRANGER), made._store
    assert isinstance(store, NotingStore)
    store.asked.clear()
    if "session" in payload:
        answer = await client.ask(type_, {**payload, "session": session})
    else:
        answer = await client.ask(type_, payload, session=session)
    asked = list(store.asked)
    await client.hang_up()
    return without_names(answer), asked


def without_names(answer: dict[str, Any]) -> dict[str, Any]:
    """An error's envelope without what differs in any two of them."""
    assert answer["type"] == "error"
    said = {**answer, **answer["payload"]}
    return {name: said[name] for name in said if name not in ("id", "timestamp", "incident", "session", "payload")}


@pytest.mark.parametrize("name", list(ASKED))
async def test_a19_a_session_of_another_tenant_is_like_none(made: Stage, name: str) -> None:
    """The same words, and the same questions to the store in the same order: in hand here, parked elsewhere, or never
    opened. Its owner notices nothing."""
    owner, in_hand = await made.opened()
    other, at_rest = await made.opened()
    await owner.eval("x = 1")
    await other.hang_up()
    made.live(at_rest).let_go()
    made.engine._sessions.let_go(made.live(at_rest))
    said, asked = await asked_of(made, name, NOBODY)
    assert (said["code"], said["retryable"]) == ("not_found", False)
    assert asked == ["read"]
    assert await asked_of(made, name, in_hand) == (said, asked)
    assert await asked_of(made, name, at_rest) == (said, asked)
    assert (await owner.eval("x"))["output"] == "1"


async def test_a19_the_same_by_a_sessions_address(made: Stage) -> None:
    """Told and sent away, in the same way."""
    _, session = await made.opened()
    found = []
    for name in (session, NOBODY):
        client = made.connect(session=name, principal=STRANGER)
        answer = await client.wait_for(lambda e: e["type"] == "error")
        await client._task
        found.append((without_names(answer), client.channel.closed, len(client.received)))
    assert found[0] == found[1]
    assert (found[0][0]["code"], found[0][1]) == ("not_found", 1008)


async def test_a19_a_closed_session_tells_its_own_tenant_only(made: Stage) -> None:
    """`session_gone` would tell that there was one."""
    owner, session = await made.opened()
    await owner.ask("close")
    assert (await owner.ask("attach", {"session": session}))["payload"]["code"] == "session_gone"
    assert await asked_of(made, "attach", session) == await asked_of(made, "attach", NOBODY)


async def test_a19_request_ids_of_others_are_free(made: Stage) -> None:
    """An `open` that repeats another tenant's id gets a session of its own."""
    owner, session = await made.opened(name="mine")
    opened = owner.received[0]["id"]
    stranger = made.connect(principal=STRANGER)
    answer = await stranger.ask("open", {"name": "mine"}, id_=opened)
    assert answer["payload"]["session"] != session


@pytest.mark.parametrize("field", ["tenant", "principal", "subject", "scopes", "owner"])
async def test_a20_a_tenant_in_the_message(made: Stage, field: str) -> None:
    """In a payload it is refused, in the envelope ignored: the tenant is the credential's."""
    client = made.connect(principal=STRANGER)
    refused = await client.ask("open", {field: "acme"})
    assert (refused["payload"]["code"], refused["payload"]["field"]) == ("bad_message", f"payload.{field}")
    opened = await client.ask("open", {}, **{field: "acme"})
    assert made.live(opened["payload"]["session"]).policy.tenant == "globex"


def who(*scopes: str) -> Principal:
    """Somebody of the tenant, with so much."""
    return Principal("acme", "bob", frozenset(scopes))


REQUESTS: dict[str, dict[str, Any]] = {
    "eval": {"code": "x = 2"},
    "complete": {"code": "x", "cursor": 1},
    "inspect": {"code": "x", "cursor": 1},
    "is_complete": {"code": "x"},
    "variables": {},
    "interrupt": {},
    "cancel": {"target": "a"},
    "input": {"target": "a", "text": "b"},
    "files": {"op": "write", "path": "a", "data": ""},
    "close": {},
    "open": {},
}


@pytest.mark.parametrize("type_", list(REQUESTS))
@pytest.mark.parametrize("role", ["observer by choice", "observer by scope"])
async def test_a21_an_observer_watches(made: Stage, type_: str, role: str) -> None:
    """Whoever attached to watch, or may do no more, changes nothing; naming the session does not make him a driver."""
    owner, session = await made.opened()
    await owner.eval("x = 1")
    watcher = made.connect(principal=who("eval", "files", "observe") if "choice" in role else who("observe"))
    await watcher.attach(session, role="observer")
    for more in ({}, {"session": session}):
        answer = await watcher.ask(type_, REQUESTS[type_], **more)
        assert (answer["type"], answer["payload"].get("code")) == ("error", "forbidden")
    assert [entry["seq"] for entry in (await watcher.ask("history"))["payload"]["entries"]] == [1]
    assert (await owner.eval("x"))["output"] == "1"


async def test_a21_an_observer_stays_one_in_the_session_that_it_names(made: Stage) -> None:
    """Looking into the history of another session does not make it its driver."""
    _, first = await made.opened()
    owner, second = await made.opened()
    await owner.eval("x = 1")
    watcher = made.connect(principal=who("eval", "observe"))
    await watcher.attach(first, role="observer")
    assert (await watcher.ask("history", session=second))["payload"]["seq"] == 1
    assert (await watcher.ask("eval", {"code": "x = 2"}))["payload"]["code"] == "forbidden"


@pytest.mark.parametrize("scopes", [("observe",), ("admin",), ()])
async def test_a21_without_the_scope_nobody_drives(made: Stage, scopes: tuple[str, ...]) -> None:
    """Attaching as a driver, opening, evaluating and a session's address as a driver are all refused."""
    _, session = await made.opened()
    client = made.connect(principal=who(*scopes))
    for type_, payload in (("attach", {"session": session}), ("eval", {"code": "1"}), ("open", {}), ("history", {})):
        answer = await client.ask(type_, payload)
        assert (answer["type"], answer["payload"]["code"]) == ("error", "forbidden")
    assert len(made.engine._sessions.live) == 1


INSIDE = ["/metrics", "/healthz?verbose", "/readyz?verbose"]


@contextlib.asynccontextmanager
async def two_issuers(tmp_path: Any, **settings: Any) -> AsyncIterator[Any]:
    """A server that others can reach, and whoever signs tokens for it."""
    issuer = Issuer(tmp_path / "keys", "EdDSA")
    async with asking(JwtIssuer(issuer.config()), DevToken(TOKEN), settings=settings) as asked:
        yield asked, issuer


@pytest.mark.parametrize("path", INSIDE)
async def test_a21_the_inside_is_for_admins(tmp_path: Any, path: str) -> None:
    """401 without a token, 403 without the scope; plain health tells one word to everybody."""
    async with two_issuers(tmp_path, host="0.0.0.0") as (asked, issuer):
        said = {
            "none": {}, "guessed": {"Authorization": "Bearer x"},
            "driver": {"Authorization": f"Bearer {issuer.token(scope='eval files observe')}"},
            "admin": {"Authorization": f"Bearer {issuer.token(scope='admin')}"},
        }  # fmt: skip
        found = {}
        for name, headers in said.items():
            async with asked.http.get(asked.door.http + path, headers=headers) as answer:
                found[name] = answer.status
                inside = "bascule_" in (text := await answer.text()) or "as told" in text
                assert inside == (answer.status == 200)
        assert found == {"none": 401, "guessed": 401, "driver": 403, "admin": 200}
        for plain in ("/livez", "/readyz", "/healthz"):
            async with asked.http.get(asked.door.http + plain) as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")


@pytest.mark.parametrize("path", INSIDE)
async def test_a21_the_inside_is_open_on_this_machine_and_not_through_a_proxy(path: str) -> None:
    """On loopback without a token; what a proxy passed on came from elsewhere, and needs the scope."""
    async with front_door(settings=PATIENT) as door, aiohttp.ClientSession() as http:
        found = []
        for headers in ({}, {"X-Forwarded-For": "203.0.113.1"}, {"Via": "1.1 proxy"}, {"Forwarded": "for=203.0.113.1"}):
            async with http.get(door.http + path, headers=headers) as answer:
                found.append(answer.status)
        assert found == [200, 401, 401, 401]
        headers = {"X-Forwarded-For": "203.0.113.1", "Authorization": f"Bearer {TOKEN}"}
        async with http.get(door.http + path, headers=headers) as answer:
            assert answer.status == 200


async def opened_by(made: Stage, principal: Principal, **payload: Any) -> Client:
    """A client with a session of its own."""
    client = made.connect(principal=principal)
    answer = await client.ask("open", payload)
    assert answer["type"] == "reply", answer
    return client


async def test_a27_limits_go_down_only(made: Stage) -> None:
    """By the token below the operator's, by the client below the token's; never up, whatever the token says."""
    low = Principal("acme", "low", limits={"code_bytes_max": 50, "eval_timeout_s": 10**9})
    client = await opened_by(made, low)
    limits = (await client.ask("describe"))["payload"]["limits"]
    assert (limits["code_bytes_max"], limits["eval_timeout_s"]) == (50, 30)
    for payload in ({"limits": {"code_bytes_max": 51}}, {"limits": {"eval_timeout_s": 31}}, {"idle_timeout_s": 1e6}):
        assert (await client.ask("open", payload))["payload"]["code"] == "forbidden"
    assert (await client.ask("eval", {"code": "#" * 51}))["payload"]["code"] == "too_large"
    assert (await client.ask("open", {"limits": {"code_bytes_max": 40}}))["type"] == "reply"


async def test_a27_a_token_keeps_its_limits_in_sessions_of_others(made: Stage) -> None:
    """A session that was opened with more does not lend it."""
    owner, session = await made.opened()
    await owner.eval("import time")
    low = made.connect(principal=Principal("acme", "low", limits={"eval_timeout_s": 1}))
    await low.attach(session)
    result = await low.eval("time.sleep(20)", timeout_s=25)
    assert result["error"]["code"] == "timeout"
    assert 1 <= result["receipt"]["wall_s"] < 10


MORE: list[dict[str, Any]] = [{"scopes": ["network"]}, {"network": True}, {"process": True}, {"limits": {"network": 1}}]


@pytest.mark.parametrize("payload", MORE)
async def test_a27_more_than_the_token_has_cannot_be_asked_for(made: Stage, payload: dict[str, Any]) -> None:
    """A session's locks are the operator's: no request and no scope loosens them."""
    client = made.connect(principal=who("eval"))
    assert (await client.ask("open", payload))["payload"]["code"] == "bad_message"
    files = await client.ask("files", {"op": "list", "path": ""})
    assert (files["payload"]["code"], files["payload"]["scope"]) == ("forbidden", "files")
