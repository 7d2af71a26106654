"""Group A of the catalogue: who guesses, and who pretends to come from elsewhere."""

import asyncio
import hmac
from pathlib import Path

import aiohttp
import pytest

from orchestrator.auth.api_keys import ApiKeys, append_entry, new_key
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.core.backoff import FIRST_WAIT_S, FORGET_S, Backoff
from support.identities import asking
from support.tokens import Issuer


@pytest.fixture
def keys(tmp_path: Path) -> tuple[ApiKeys, str]:
    """A list of one key, and the key."""
    key, entry = new_key("acme", "ci")
    append_entry(tmp_path / "keys.toml", entry)
    return ApiKeys(tmp_path / "keys.toml"), key


async def test_a25_an_address_that_guesses_has_to_wait(keys: tuple[ApiKeys, str]) -> None:
    """429 with a time, before anything is looked at; whoever showed a good token there before is still let in."""
    known, key = keys
    async with asking(known, settings={"auth_failures_max": 3}) as asked:
        assert await asked.status(key) == 200
        assert [await asked.status(f"bsk_guess{number}") for number in range(5)] == [401, 401, 401, 401, 429]
        assert await asked.status(key) == 200
        headers = {"Authorization": "Bearer bsk_another"}
        async with asked.http.post(f"{asked.door.http}/v1/tickets", headers=headers) as answer:
            body = await answer.json()
            assert (answer.status, body["code"]) == (429, "rate_limited")
            assert 1 <= int(answer.headers["Retry-After"]) * 1000 == body["retry_after_ms"]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))) as elsewhere:
            url, shown = f"{asked.door.http}/v1/tickets", {"Authorization": f"Bearer {key}"}
            async with elsewhere.post(url, headers=shown) as answer:
                assert answer.status == 200


async def test_a25_one_token_from_many_addresses_has_to_wait(keys: tuple[ApiKeys, str]) -> None:
    """What was refused is not tried without end because it comes from elsewhere each time."""
    found = []
    async with asking(keys[0], settings={"auth_failures_max": 3}) as asked:
        for number in range(2, 8):
            connector = aiohttp.TCPConnector(local_addr=(f"127.0.0.{number}", 0))
            async with aiohttp.ClientSession(connector=connector) as elsewhere:
                headers = {"Authorization": "Bearer bsk_stolen"}
                async with elsewhere.post(f"{asked.door.http}/v1/tickets", headers=headers) as answer:
                    found.append(answer.status)
    assert found == [401, 401, 401, 401, 429, 429]


async def test_a25_a_victim_cannot_be_locked_out_by_its_name(tmp_path: Path) -> None:
    """Forged tokens of a subject, from elsewhere, cost the subject nothing."""
    issuer, forger = Issuer(tmp_path / "keys"), Issuer(tmp_path / "other", "RS256", "other")
    async with asking(JwtIssuer(issuer.config()), settings={"auth_failures_max": 2}) as asked:
        assert {await asked.status(forger.token(sub="ann", jti="j")) for _ in range(5)} == {401, 429}
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=connector) as elsewhere:
            headers = {"Authorization": f"Bearer {issuer.token(sub='ann', jti='j')}"}
            async with elsewhere.post(f"{asked.door.http}/v1/tickets", headers=headers) as answer:
                assert answer.status == 200


async def test_a25_nothing_shown_is_no_guess(keys: tuple[ApiKeys, str]) -> None:
    """A browser or a scanner without a token does not lock out those behind the same address."""
    async with asking(keys[0], settings={"auth_failures_max": 1}) as asked:
        for _ in range(5):
            async with asked.http.post(f"{asked.door.http}/v1/tickets") as answer:
                assert answer.status == 401
        assert await asked.status(keys[1]) == 200


def test_a25_secrets_are_compared_in_constant_time(keys: tuple[ApiKeys, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are compared, as a whole: neither length nor beginning of a key shows in the time."""
    compared = []
    real = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    for token in ("", "b", keys[1][:-1], keys[1] + "x"):
        with pytest.raises(Exception, match="no valid token"):
            keys[0].authenticate(token)
    assert keys[0].authenticate(keys[1]).subject == "ci"
    assert compared == [(32, 32)] * 5


def test_a25_the_wait_doubles_ends_and_is_forgotten() -> None:
    """By a clock that only grows; memory of it is bounded."""
    waits = Backoff(free=2, wait_s_max=5.0, names_max=3)
    for expected in (0.0, 0.0, FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, 5.0, 5.0):
        waits.failed("a", 100.0)
        assert waits.wait_s("a", 100.0) == expected
    assert [waits.wait_s("a", now) for now in (104.0, 105.0, 200.0)] == [1.0, 0.0, 0.0]
    waits.failed("a", 100.0 + FORGET_S)
    assert waits.wait_s("a", 100.0 + FORGET_S) == 0.0
    for name in ("b", "c", "d"):
        for _ in range(3):
            waits.failed(name, 2000.0)
    assert [waits.wait_s(name, 2000.0) > 0 for name in "abcd"] == [False, True, True, True]


SAID = {
    "X-Client-Cert": "CN=admin",
    "X-SSL-Client-Verify": "SUCCESS",
    "X-User": "acme/admin",
    "X-Remote-User": "admin",
    "X-Tenant": "acme",
    "X-Forwarded-User": "admin",
}


async def test_a17_headers_that_a_client_makes_up(keys: tuple[ApiKeys, str]) -> None:
    """They prove nothing, and move nobody into another tenant."""
    async with asking(keys[0]) as asked:
        async with asked.http.post(f"{asked.door.http}/v1/tickets", headers=SAID) as answer:
            assert answer.status == 401
        headers = {**SAID, "Authorization": f"Bearer {keys[1]}", "X-Tenant": "globex"}
        async with asked.http.ws_connect(asked.door.url, headers=headers):
            assert [(who.tenant, who.subject) for who, _, _ in asked.door.engine.guests] == [("acme", "ci")]


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",), ("127.0.0.1",)])
async def test_a17_another_address_is_believed_of_our_proxies_only(
    keys: tuple[ApiKeys, str], trusted: tuple[str, ...]
) -> None:
    """A guesser who writes another `X-Forwarded-For` each time waits all the same; behind a proxy of ours each client
    counts for itself, by what the proxy wrote and not by what the client wrote before it."""
    settings = {"auth_failures_max": 1, "trusted_proxies": trusted}
    async with asking(keys[0], settings=settings) as asked:
        found = [
            await asked.status(f"bsk_{number}", **{"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.{number}"})
            for number in range(4)
        ]
        assert found == ([401] * 4 if "127.0.0.1" in trusted else [401, 401, 429, 429])
        same = [
            await asked.status(f"bsk_x{number}", **{"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.99"})
            for number in range(4)
        ]
        assert same == ([401, 401, 429, 429] if "127.0.0.1" in trusted else [429] * 4)


async def test_a17_clients_behind_a_proxy_share_no_limit(keys: tuple[ApiKeys, str]) -> None:
    """Sockets of the proxy are bounded by the total, connections by the address that it names."""
    settings = {
        "trusted_proxies": ("127.0.0.0/8", "::1"), "connections_per_address_max": 1, "sockets_spare_max": 2,
        "connections_max": 10,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {keys[1]}"}
    async with asking(keys[0], settings=settings) as asked:
        held = [
            await asked.http.ws_connect(asked.door.url, headers={**headers, "X-Forwarded-For": f"203.0.113.{number}"})
            for number in range(5)
        ]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await asked.http.ws_connect(asked.door.url, headers={**headers, "X-Forwarded-For": "203.0.113.1"})
        await asyncio.gather(*(socket.close() for socket in held))
