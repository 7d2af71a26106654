"""Group A of the catalogue: tokens that end or are revoked while clients are inside, and the clock that says so."""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.auth.api_keys import ApiKeys, append_entry, new_key
from orchestrator.auth.jwt_config import LEEWAY_S
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.auth.rereading import LOOK_AGAIN_S, AuthFileError
from orchestrator.auth.revocations import Revocations
from orchestrator.core.principal import Principal
from support.client import ReplClient, connect
from support.engine_stage import Stage, stage
from support.identities import asking
from support.server import Server
from support.tokens import Issuer, Ticking

RECHECK = ("--set", "server.recheck_interval_s=0.2")
GONE = "the token is no longer valid"


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """Whoever signs tokens."""
    return Issuer(tmp_path / "keys", "EdDSA")


@contextlib.asynccontextmanager
async def serving_tokens(state: Path, issuer: Issuer) -> AsyncIterator[tuple[Server, Path]]:
    """A real server that knows the issuer, and its file of what is revoked."""
    revoked, config = state / "revoked.toml", state / "config.toml"
    revoked.write_text("")
    config.write_text(f'auth.revocations_file = "{revoked}"\n{issuer.toml()}')
    server = Server(state / "s", "--embedded", "--config", str(config), *RECHECK)
    await server.start()
    yield server, revoked
    await server.stop()


async def closed(client: ReplClient) -> int | None:
    """Wait until the server has hung up; the code."""
    await asyncio.wait_for(asyncio.gather(client._reader), 20)
    return client.socket.close_code


def ends_in(seconds: float) -> dict[str, Any]:
    """Claims of a token that is refused so long from now, leeway included, give or take a second."""
    now = int(time.time())
    return {"iat": now - 100, "exp": now - LEEWAY_S + round(seconds)}


@pytest.mark.bubblewrap
@pytest.mark.redis
async def test_a14_a_token_that_expires_during_an_eval(state: Path, issuer: Issuer) -> None:
    """The eval ends, its result comes and is committed; what is asked afterwards is refused, and then it is 1008."""
    async with (
        serving_tokens(state, issuer) as (server, _),
        connect(server.url, issuer.token(**ends_in(4))) as client,
    ):
        await client.eval("import time; x = 1")
        running = await client.send("eval", {"code": "for _ in range(60): time.sleep(0.1)\nx + 1"})
        while (refused := await client.ask("ping"))["type"] == "pong":
            await asyncio.sleep(0.05)
        assert (refused["payload"]["code"], refused["payload"]["message"]) == ("unauthenticated", GONE)
        result = await client.terminal(running)
        assert (result["type"], result["payload"]["output"]) == ("result", "2")
        assert result["payload"]["state"] == "committed"
        assert await closed(client) == 1008
        async with connect(server.url, issuer.token()) as again:
            assert (await again.ask("ping"))["type"] == "pong"


@pytest.mark.bubblewrap
@pytest.mark.redis
@pytest.mark.parametrize("entry", ['tokens = ["j1"]', 'subjects = ["acme/ann"]', 'tenants = ["acme"]'])
async def test_a13_revoked_while_connected(state: Path, issuer: Issuer, entry: str) -> None:
    """Within the interval the idle client is sent away with 1008, by itself, and does not come in again."""
    async with (
        serving_tokens(state, issuer) as (server, revoked),
        connect(server.url, issuer.token(jti="j1")) as client,
        connect(server.url, issuer.token(jti="j2", sub="bob", tenant="globex")) as other,
    ):
        assert await client.eval("1")
        revoked.write_text(entry)
        assert await closed(client) == 1008
        with pytest.raises(Exception, match="401"):
            async with connect(server.url, issuer.token(jti="j1")):
                pass
        assert (await other.ask("ping"))["type"] == "pong"


async def test_a13_each_kind_of_revocation(tmp_path: Path, issuer: Issuer) -> None:
    """Of a token, an API key, a subject, a tenant: it is refused everywhere, tickets too, and may come back;
    a broken file leaves the last good one in force."""
    clock, path = Ticking(), tmp_path / "revoked.toml"
    path.write_text("")
    key, entry = new_key("acme", "ci")
    append_entry(tmp_path / "keys.toml", entry)
    ways = JwtIssuer(issuer.config()), ApiKeys(tmp_path / "keys.toml")
    async with asking(*ways, revoked=Revocations(path, monotonic=clock)) as asked:
        tokens = [issuer.token(jti="j1"), issuer.token(jti="j2", sub="bob"), issuer.token(tenant="globex"), key]
        inside = [asked.chain.authenticate(token) for token in tokens]

        async def in_force(text: str) -> list[bool]:
            path.write_text(text)
            clock.now += LOOK_AGAIN_S
            found = [await asked.status(token) == 200 for token in tokens]
            assert [asked.chain.stands(principal) for principal in inside] == found
            return found

        assert await in_force("") == [True] * 4
        assert await in_force('tokens = ["j1"]') == [False, True, True, True]
        assert await in_force(f'tokens = ["{entry.id}"]') == [True, True, True, False]
        assert await in_force('subjects = ["acme/bob"]') == [True, False, True, True]
        assert await in_force('tenants = ["acme"]') == [False, False, True, False]
        assert await in_force("tenants = [") == [False, False, True, False]
        assert await in_force('tenant = ["globex"]') == [False, False, True, False]
        ticket = await asked.ticket(tokens[2])
        assert await in_force('tenants = ["globex"]') == [True, True, False, True]
        async with asked.http.get(f"{asked.door.http}/?ticket={ticket}", headers=UPGRADE) as answer:
            assert answer.status == 401


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize("content", ["tokens = 1", "tokens = [1]", "users = []", "[[", None])
def test_a13_a_file_that_cannot_be_used_at_start(tmp_path: Path, content: str | None) -> None:
    """A server that would forget what is revoked does not start."""
    path = tmp_path / "revoked.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AuthFileError, match=r"revoked\.toml"):
        Revocations(path)


# --- what runs, what waits, what comes late ----------------------------------------------------------------------


@pytest.fixture
async def made() -> AsyncIterator[Stage]:
    """An engine over workers whose code says what happens."""
    async with stage() as made:
        yield made


async def test_a13_what_waits_is_not_started(made: Stage) -> None:
    """Of three evals one runs: it is answered, the others end without having begun, and nothing is left behind."""
    lapsed = asyncio.Event()
    client = made.connect(lapsed=lapsed)
    await client.eval("import time; seen = []")
    session = (await client.ask("describe"))["payload"]
    assert session["principal"]["tenant"] == "acme"
    gate = made.work_folder(made.engine._sessions.live[0].id) / "gate"
    waits = f"import os\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    code = f"seen.append(1)\nprint('on', flush=True)\n{waits}\n'done'"
    first = client.send("eval", {"code": code, "stream": True})
    await client.wait_for(lambda e: e["type"] == "stream")
    waiting = [client.send("eval", {"code": "seen.append(2)"}) for _ in range(2)]
    await asyncio.wait_for(client_has(made, 3), 10)
    lapsed.set()
    ends = [await client.terminal(id_) for id_ in waiting]
    assert {(end["type"], end["payload"].get("code")) for end in ends} == {("error", "cancelled")}
    late = await client.ask("eval", {"code": "seen.append(3)"})
    assert late["payload"]["code"] == "unauthenticated"
    assert client.channel.closed is None
    gate.touch()
    assert (await client.terminal(first))["payload"]["output"] == "'done'"
    await asyncio.wait_for(client._task, 10)
    assert client.channel.closed == 1008
    live = made.engine._sessions.live[0].id
    again = made.connect(session=live)
    assert (await again.eval("seen"))["output"] == "[1]"


async def client_has(made: Stage, count: int) -> None:
    """Until so many requests of the one session are open."""
    while len(made.engine._sessions.live[0].requests) < count:
        await asyncio.sleep(0.002)


async def test_a14_the_end_is_seen_with_the_next_message(made: Stage) -> None:
    """Nobody has to be told: each message is checked against the principal's own end."""
    principal = Principal("acme", "ann", expires_at=time.time() + 1.0)
    client = made.connect(principal=principal)
    assert (await client.ask("describe"))["payload"]["principal"]["expires_at"] == principal.expires_at
    for _ in itertools.count():
        answer = await client.ask("is_complete", {"code": "1"})
        if answer["type"] == "error":
            break
        await asyncio.sleep(0.05)
    assert answer["payload"]["code"] == "unauthenticated"
    assert time.time() >= principal.expires_at
    await asyncio.wait_for(client._task, 10)
    assert client.channel.closed == 1008


async def test_a13_another_clients_evals_are_left_alone(made: Stage) -> None:
    """Only what the lapsed one alone waits for is withdrawn."""
    lapsed = asyncio.Event()
    first, session = await made.opened()
    second = made.connect(session=session, lapsed=lapsed)
    await first.eval("import time")
    running = first.send("eval", {"code": "print('on', flush=True)\ntime.sleep(0.5)\n1", "stream": True})
    await first.wait_for(lambda e: e["type"] == "stream")
    shared = first.send("eval", {"code": "2"}, id_="shared")
    second.send("eval", {"code": "2"}, id_="shared")
    await second.ask("ping")
    lapsed.set()
    assert [(await first.terminal(id_))["payload"]["output"] for id_ in (running, shared)] == ["1", "2"]
    assert (await second.terminal("shared"))["payload"]["output"] == "2"
    await asyncio.wait_for(second._task, 10)
    assert second.channel.closed == 1008


async def test_a26_the_wall_clock_judges_tokens_and_nothing_else(issuer: Issuer) -> None:
    """A clock that is wrong by an hour refuses and takes tokens by what it says; set right, those inside go on; waits
    and looks at files go by a clock that only grows."""
    now = int(time.time())
    clock = Ticking(now)
    source = JwtIssuer(issuer.config(), now=clock)
    async with asking(source, now=clock, settings={"auth_failures_max": 3}) as asked:
        token = issuer.token(iat=now, exp=now + 600)
        inside = asked.chain.authenticate(token)
        found = {}
        for jump in (-3600, -LEEWAY_S, 0, 600 + LEEWAY_S - 1, 600 + LEEWAY_S, 3600):
            clock.now = now + jump
            found[jump] = (await asked.status(token), asked.chain.stands(inside))
        refused, inside_still = (401, True), (200, True)
        assert found == {
            -3600: refused, -LEEWAY_S: inside_still, 0: inside_still, 600 + LEEWAY_S - 1: inside_still,
            600 + LEEWAY_S: (401, False), 3600: (401, False),
        }  # fmt: skip
        clock.now = now
        assert (await asked.status(token), asked.chain.stands(inside)) == (200, True)


async def test_a_key_that_says_something_else_now_sends_its_guests_away(tmp_path: Path) -> None:
    """Also when it is not removed: who was let in with more than it gives now has to come again."""
    clock, path = Ticking(), tmp_path / "keys.toml"
    key, entry = new_key("acme", "ci")
    append_entry(path, entry)
    keys = ApiKeys(path, monotonic=clock)
    inside = keys.authenticate(key)
    assert keys.stands(inside)
    assert not keys.stands(dataclasses.replace(inside, tenant="globex"))
    path.unlink()
    append_entry(path, entry.model_copy(update={"scopes": ("observe",)}))
    clock.now += LOOK_AGAIN_S
    assert not keys.stands(inside)
    assert keys.stands(keys.authenticate(key))
