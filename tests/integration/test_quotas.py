"""Quotas on real servers over a real Redis: whose they are, who is not touched, and two servers that ask at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bascule import AsyncClient, QuotaExceededError
from orchestrator.auth.api_keys import append_entry, new_key
from orchestrator.transports.rest import models
from support.rest import rest_of
from support.server import Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

MOST = 3


@asynccontextmanager
async def servers(state: Path, redis_url: str, count: int) -> AsyncIterator[list[Server]]:
    """That many of one installation; tenants may have three sessions open each."""
    keys = {"BASCULE_KEYS__STAMP": secrets.token_hex(32), "BASCULE_KEYS__SEAL": secrets.token_hex(32)}
    keys["BASCULE_LIMITS__SESSIONS_MAX"] = str(MOST)
    words = ("--runtime", "bubblewrap", "--redis-url", redis_url, "--keys-file", str(state / "keys.toml"))
    made = [Server(state / f"server{number}" / "state", *words, environment=keys) for number in range(count)]
    for number in range(count):
        (state / f"server{number}").mkdir(mode=0o755)
    try:
        await asyncio.gather(*(server.start() for server in made))
        yield made
    finally:
        await asyncio.gather(*(server.stop() for server in made if server.runs))


def key_of(state: Path, tenant: str, **limits: int) -> str:
    """An API key that the servers know."""
    key, entry = new_key(tenant, "ci")
    append_entry(state / "keys.toml", entry)
    with (state / "keys.toml").open("a") as file:
        file.write(f"limits = {{ {', '.join(f'{name} = {value}' for name, value in limits.items())} }}\n")
    return key


async def test_a_tenant_at_its_quota_disturbs_no_other(state: Path, redis_url: str) -> None:
    """429 with a time to come back; what it has goes on; closing one makes room; the other tenant notices nothing."""
    key, other_key = key_of(state, "acme"), key_of(state, "other")
    guest_key = key_of(state, "acme", sessions_max=1)
    async with servers(state, redis_url, 1) as (server,), rest_of(server.url, key) as rest:
        places = [await rest.opened() for _ in range(MOST)]
        once = {"Idempotency-Key": "one-more"}
        answer = await rest.ask("POST", "/v1/sessions", json={}, headers=once)
        said = models.Problem.model_validate(answer.json)
        assert (answer.status, said.code, said.limit) == (429, "quota_exceeded", "sessions_max")
        assert int(answer.headers["Retry-After"]) > 0 and (answer.json["max"], answer.json["open"]) == (MOST, MOST)
        assert (await rest.eval(places[0], "6 * 7"))["output"] == "42"
        async with rest_of(server.url, other_key) as other:
            for _ in range(MOST):
                await other.eval(await other.opened(), "1")
        assert (await rest.ask("DELETE", places[0])).status == 204
        async with rest_of(server.url, guest_key) as guest:
            assert (await guest.ask("POST", "/v1/sessions", json={})).status == 429
        again = [await rest.ask("POST", "/v1/sessions", json={}, headers=once) for _ in range(2)]
        assert [answer.status for answer in again] == [201, 201]
        assert again[0].json["session"] == again[1].json["session"]


async def test_of_two_servers_one_opens_the_last_session(state: Path, redis_url: str) -> None:
    """As often as it is tried, and whoever was refused can have it when it is closed."""
    key = key_of(state, "acme")
    async with (
        servers(state, redis_url, 2) as (one, two),
        AsyncClient(key, one.url) as here,
        AsyncClient(key, two.url) as there,
    ):
        kept = [await client.open() for client in (here, there)]
        for _ in range(5):
            asked = (asyncio.ensure_future(client.open().session()) for client in (here, there))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, BaseException)]
            assert [type(answer) for answer in refused] == [QuotaExceededError]
            (won,) = [answer for answer in answers if not isinstance(answer, BaseException)]
            await won.close()
        for session in kept:
            assert (await session.run("6 * 7")).text == "42"
