"""A front door that knows issuers and keys, asked over HTTP whom it would let in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from orchestrator.auth.chain import Chain
from orchestrator.auth.tickets import Tickets
from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator
from orchestrator.stores.memory import MemoryStore
from support.front_door import FrontDoor, front_door

PATIENT = {"auth_failures_max": 1_000_000}
"""For tests of what is refused, not of how often."""


@dataclass
class Asked:
    """A front door and a client of it."""

    door: FrontDoor
    http: aiohttp.ClientSession
    chain: Chain

    async def status(self, token: str, **headers: str) -> int:
        """Of asking for a ticket: 200 for a good token. Every refusal of a token is the same."""
        headers = {"Authorization": f"Bearer {token}", **headers}
        async with self.http.post(f"{self.door.http}/v1/tickets", headers=headers) as answer:
            if answer.status == 401:
                body = await answer.json()
                assert (body["code"], body["detail"]) == ("unauthenticated", "no valid token")
            return answer.status

    async def ticket(self, token: str) -> str:
        """A ticket for a good token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.door.http}/v1/tickets", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            found: str = (await answer.json())["ticket"]
            return found


@contextlib.asynccontextmanager
async def asking(
    *authenticators: Authenticator, revoked: Callable[[Principal], bool] | None = None,
    settings: dict[str, Any] | None = None, **tickets: Any,
) -> AsyncIterator[Asked]:  # fmt: skip
    """Serve with these ways to prove who one is."""
    chain = Chain(authenticators, *([revoked] if revoked else []))
    office = Tickets(b"k" * 32, MemoryStore().spend, chain.stands, **tickets)
    async with (
        front_door(authenticator=chain, tickets=office, settings={**PATIENT, **(settings or {})}) as door,
        aiohttp.ClientSession() as http,
    ):
        yield Asked(door, http, chain)
