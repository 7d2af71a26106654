"""Whom the door lets in before a connection is upgraded: origin, room, token. Each refusal is a problem response."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.problems import problem
from orchestrator.transports.proving import Guest, Prover, Refusal

__all__ = ["Admission", "Guest", "Refusal"]

_GOING_AWAY: Final = "this front door is going away; connect again"
GOING_AWAY_RETRY_S: Final = 1
"""When to: others are there, or this one is back by then."""


class Admission:
    """Counts who is inside and decides about the next one."""

    def __init__(self, config: HttpConfig, prover: Prover) -> None:
        self._config = config
        self._prover = prover
        self._total = 0
        self._by_address: Counter[str] = Counter()
        self._by_tenant: Counter[str] = Counter()
        self.closed = False
        """Set when this front door goes away."""

    @contextlib.asynccontextmanager
    async def enter(self, request: web.BaseRequest, *, by_ticket: bool = True) -> AsyncIterator[Guest]:
        """Hold a place for this client as long as the block runs; raises `Refusal`. `by_ticket`: it may show one."""
        address = self._prover.addresses.of(request)
        if self.closed:
            raise Refusal("draining", problem(503, "draining", _GOING_AWAY, retry_after_s=GOING_AWAY_RETRY_S))
        self.check_origin(request)
        with self._place(address, self._by_address, self._config.connections_per_address_max, "address"):
            proving = self._prover
            guest = await proving.by_token_or_ticket(request) if by_ticket else proving.by_token(request)
            with self._place(
                guest.principal.tenant, self._by_tenant, self._config.connections_per_tenant_max, "tenant"
            ):
                yield guest

    def still_valid(self, guest: Guest) -> bool:
        """Whether what opened a connection would open it now, for the same principal."""
        return self._prover.stands(guest)

    @contextlib.contextmanager
    def _place(self, name: str, counter: Counter[str], limit: int, kind: str) -> Iterator[None]:
        if counter[name] >= limit:
            raise self._no_room("capacity", f"too many connections from this {kind}")
        if kind == "address" and self._total >= self._config.connections_max:
            raise self._no_room("capacity", "too many connections")
        counter[name] += 1
        self._total += kind == "address"
        try:
            yield
        finally:
            self._total -= kind == "address"
            counter[name] -= 1
            if not counter[name]:
                del counter[name]

    def _no_room(self, code: str, detail: str) -> Refusal:
        return Refusal(code, problem(503, code, detail, retry_after_s=self._config.retry_after_s))

    def check_origin(self, request: web.BaseRequest) -> None:
        """A browser's page may connect if it is ours or listed; raises `Refusal`."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self._config.origins:
            return
        own = request.headers.get("Host", "").lower()
        if not own or urlsplit(origin).netloc.lower() != own:
            raise Refusal("origin", problem(403, "forbidden", "this origin may not connect"))
