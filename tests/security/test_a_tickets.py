"""Group A of the catalogue: what stands in an address is read by others, so it is a ticket at most."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from orchestrator.auth.chain import Chain
from orchestrator.auth.dev_token import DevToken
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.auth.tickets import TICKET_TTL_S, Tickets
from orchestrator.stores.memory import MemoryStore
from replwire.errors import WireError
from support.front_door import front_door
from support.identities import PATIENT, Asked, asking
from support.serving import ready, serving
from support.tokens import Issuer, Ticking

NOW = 1_800_000_000
SESSION = f"ses_{'a' * 16}_{'b' * 16}"


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """Whoever signs tokens."""
    return Issuer(tmp_path / "keys", "EdDSA")


async def handshake(asked: Asked, path: str, headers: dict[str, str] | None = None) -> int:
    """Status of a WebSocket's handshake."""
    try:
        async with asked.http.ws_connect(asked.door.url + path, headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


@pytest.mark.parametrize("path", ["/", "/v1/ws", f"/v1/sessions/{SESSION}/ws"])
async def test_a15_a_ticket_opens_each_websocket_once(issuer: Issuer, path: str) -> None:
    """The guest is who asked for the ticket, with all that its token said; the second use is refused."""
    async with asking(JwtIssuer(issuer.config())) as asked:
        token = issuer.token(scope="observe", limits={"eval_timeout_s": 3})
        ticket = await asked.ticket(token)
        assert [await handshake(asked, f"{path}?ticket={ticket}") for _ in range(3)] == [101, 401, 401]
        (principal, session, _), *more = asked.door.engine.guests
        assert more == []
        assert principal == asked.chain.authenticate(token)
        assert session == (SESSION if "sessions" in path else None)


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Token", "authorization", "jwt"])
async def test_a15_a_token_in_the_address(issuer: Issuer, name: str) -> None:
    """It is refused, also beside a good one in the header: whoever does it shall notice."""
    async with asking(JwtIssuer(issuer.config())) as asked:
        token = issuer.token()
        good = {"Authorization": f"Bearer {token}"}
        assert await handshake(asked, f"/?{name}={token}") == 401
        assert await handshake(asked, f"/?{name}={token}", good) == 401
        async with asked.http.post(f"{asked.door.http}/v1/tickets?{name}={token}", headers=good) as answer:
            assert answer.status == 401
        assert await handshake(asked, "/", good) == 101


async def test_a15_a_ticket_is_for_websockets_and_alone(issuer: Issuer) -> None:
    """It makes no other ticket, and does not stand beside a token or a second ticket; that spends none."""
    async with asking(JwtIssuer(issuer.config())) as asked:
        token = issuer.token()
        good, ticket = {"Authorization": f"Bearer {token}"}, await asked.ticket(token)
        assert await handshake(asked, f"/?ticket={ticket}", good) == 401
        assert await handshake(asked, f"/?ticket={ticket}&ticket={ticket}") == 401
        for headers in ({}, good):
            async with asked.http.post(f"{asked.door.http}/v1/tickets?ticket={ticket}", headers=headers) as answer:
                assert answer.status == 401
        assert await asked.status(ticket) == 401
        assert await handshake(asked, f"/?ticket={ticket}") == 101


WRONG = ["", "x", "A" * 100, "A" * 8000, "../", "{}", "%00", "é", "cut", "changed", "padded", "doubled"]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a15_what_is_no_ticket(issuer: Issuer, wrong: str) -> None:
    """It is sealed: no byte of it can be changed."""
    async with asking(JwtIssuer(issuer.config())) as asked:
        ticket = await asked.ticket(issuer.token())
        middle = "A" if ticket[40] != "A" else "B"
        made = {
            "cut": ticket[:-1], "changed": ticket[:40] + middle + ticket[41:], "padded": ticket + "=",
            "doubled": ticket * 2,
        }  # fmt: skip
        shown = made.get(wrong, wrong)
        assert await handshake(asked, f"/?ticket={quote(shown, safe='%')}") in (400, 401)
        assert asked.door.engine.guests == []
        assert await handshake(asked, f"/?ticket={ticket}") == 101


async def test_a15_a_ticket_lives_half_a_minute_and_no_longer_than_its_token(issuer: Issuer) -> None:
    """Both ends to the second."""
    clock = Ticking(NOW)
    config = issuer.config()
    async with asking(JwtIssuer(config, now=clock), now=clock) as asked:
        token = issuer.token(iat=NOW, exp=NOW + 600)
        in_time, late = await asked.ticket(token), await asked.ticket(token)
        short = await asked.ticket(issuer.token(iat=NOW, exp=NOW - 20))
        clock.now += 9
        assert await handshake(asked, f"/?ticket={short}") == 101
        short = await asked.ticket(issuer.token(iat=NOW, exp=NOW - 20))
        clock.now += 1
        assert await handshake(asked, f"/?ticket={short}") == 401
        clock.now = NOW + TICKET_TTL_S - 1
        assert await handshake(asked, f"/?ticket={in_time}") == 101
        clock.now += 1
        assert await handshake(asked, f"/?ticket={late}") == 401


async def test_a15_a_ticket_is_good_at_any_front_door_and_once_among_them() -> None:
    """They share the key and the store; one with another key knows nothing of it."""
    store, chain = MemoryStore(), Chain([DevToken("secret")])
    principal = chain.authenticate("secret")
    one, two = (Tickets(b"k" * 32, store.spend, chain.stands) for _ in range(2))
    stranger = Tickets(b"x" * 32, store.spend, chain.stands)
    ticket, _ = one.issue(principal)
    with pytest.raises(WireError, match="no valid token"):
        await stranger.redeem(ticket)
    redeemed = await asyncio.gather(*(door.redeem(ticket) for door in (one, two) * 5), return_exceptions=True)
    assert [found for found in redeemed if found == principal] == [principal]
    assert all(isinstance(found, WireError) for found in redeemed if found != principal)


async def test_a15_without_the_store_no_ticket_is_taken(issuer: Issuer) -> None:
    """Whether it was spent can't be known: 503 with a time, never an open door."""

    async def away(nonce: str, ttl_s: int) -> bool:
        raise WireError("store_unavailable", "the store is away", retry_after_ms=1000)

    chain = Chain([JwtIssuer(issuer.config())])
    office = Tickets(b"k" * 32, away, chain.stands)
    async with (
        front_door(authenticator=chain, tickets=office, settings=PATIENT) as door,
        aiohttp.ClientSession() as http,
    ):
        asked = Asked(door, http, chain)
        ticket = await asked.ticket(issuer.token())
        async with http.get(f"{door.http}/?ticket={ticket}", headers=WEBSOCKET) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "store_unavailable")
            assert answer.headers["Retry-After"]


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    ("method", "more", "status"),
    [
        ("GET", {}, 405),
        ("DELETE", {}, 405),
        ("POST", {"data": b"{}"}, 413),
        ("POST", {"headers": {"Content-Encoding": "gzip"}}, 415),
        ("POST", {"headers": {"Origin": "https://evil.example"}}, 403),
    ],
)
async def test_requests_for_tickets_in_other_forms(issuer: Issuer, method: str, more: Any, status: int) -> None:
    """What is not asked for is refused, in the one shape of problems."""
    async with asking(JwtIssuer(issuer.config())) as asked:
        headers = {"Authorization": f"Bearer {issuer.token()}", **more.get("headers", {})}
        url = f"{asked.door.http}/v1/tickets"
        async with asked.http.request(method, url, headers=headers, data=more.get("data")) as answer:
            assert (answer.status, (await answer.json())["status"]) == (status, status)
            assert answer.headers.get("Allow") == ("POST" if status == 405 else None)


@pytest.mark.bubblewrap
@pytest.mark.redis
async def test_a15_neither_token_nor_ticket_is_in_a_log(issuer: Issuer, state: Path) -> None:
    """A real server that logs all it can; the ticket works there, and evaluates."""
    config = state / "config.toml"
    config.write_text(issuer.toml())
    token, shown = issuer.token(), issuer.token(jti="other")
    words = ("--embedded", "--port", "0", "--state-dir", str(state / "s"), "--host", "127.0.0.1")
    more = ("--config", str(config), "--log-level", "debug")
    async with serving(*words, *more) as process, aiohttp.ClientSession() as http:
        url = await ready(process)
        plain = url.replace("ws:", "http:")
        async with http.post(f"{plain}/v1/tickets", headers={"Authorization": f"Bearer {token}"}) as answer:
            body = await answer.json()
            assert (answer.status, body["expires_in_s"]) == (200, TICKET_TTL_S)
        async with http.ws_connect(f"{url}/?ticket={body['ticket']}") as socket:
            await socket.send_json({"id": "1", "type": "eval", "payload": {"code": "6*7"}, "timestamp": 1})
            assert (await socket.receive_json())["payload"]["output"] == "42"
        for query in (f"ticket={body['ticket']}", f"token={shown}"):
            async with http.get(f"{plain}/?{query}", headers=WEBSOCKET) as answer:
                assert answer.status == 401
        process.terminate()
        _, err = await process.communicate()
    log = err.decode()
    assert '"connection opened"' in log
    assert '"acme/ann"' in log
    assert json.loads(log.splitlines()[-1])["event"] == "server stopped"
    for secret in (token, token.split(".")[2], shown, shown.split(".")[2], body["ticket"], body["ticket"][:24]):
        assert secret not in log
