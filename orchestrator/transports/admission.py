"""Whom the door lets in before a connection is upgraded: origin, room, token. Each refusal is a problem response."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.connection import ADDRESS_UNKNOWN
from orchestrator.transports.problems import problem
from replwire.errors import WireError


class Refusal(Exception):
    """The response to send instead of an upgrade."""

    def __init__(self, reason: str, response: web.Response) -> None:
        super().__init__(reason)
        self.reason = reason
        self.response = response


@dataclass(frozen=True, slots=True)
class Guest:
    """Who was let in, and the token to check again while the connection lives."""

    principal: Principal
    token: str
    address: str


class Admission:
    """Counts who is inside and decides about the next one."""

    def __init__(self, config: HttpConfig, authenticator: Authenticator, metrics: Metrics) -> None:
        self._config = config
        self._authenticator = authenticator
        self._metrics = metrics
        self._total = 0
        self._by_address: Counter[str] = Counter()
        self._by_tenant: Counter[str] = Counter()
        self.closed = False
        """Set when this front door goes away."""

    @contextlib.contextmanager
    def enter(self, request: web.BaseRequest) -> Iterator[Guest]:
        """Hold a place for this client as long as the block runs; raises `Refusal`."""
        address = request.remote or ADDRESS_UNKNOWN
        if self.closed:
            raise self._no_room("draining", "this front door is going away; connect again")
        self._check_origin(request)
        with self._place(address, self._by_address, self._config.connections_per_address_max, "address"):
            guest = self._authenticate(request, address)
            with self._place(
                guest.principal.tenant, self._by_tenant, self._config.connections_per_tenant_max, "tenant"
            ):
                yield guest

    def still_valid(self, guest: Guest) -> bool:
        """Whether the token that opened a connection would open it now, for the same principal."""
        try:
            return self._authenticator.authenticate(guest.token) == guest.principal
        except WireError:
            return False

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

    def _check_origin(self, request: web.BaseRequest) -> None:
        origin = request.headers.get("Origin")
        if origin is None or origin in self._config.origins:
            return
        own = request.headers.get("Host", "").lower()
        if not own or urlsplit(origin).netloc.lower() != own:
            raise Refusal("origin", problem(403, "forbidden", "this origin may not connect"))

    def _authenticate(self, request: web.BaseRequest, address: str) -> Guest:
        method, token = shown_token(request)
        try:
            return Guest(self._authenticator.authenticate(token), token, address)
        except WireError as error:
            self._metrics.auth_failures.labels(method).inc()
            answer = problem(401, error.code, error.message, headers={"WWW-Authenticate": 'Bearer realm="bascule"'})
            raise Refusal(error.code, answer) from None


def shown_token(request: web.BaseRequest) -> tuple[str, str]:
    """How a token was shown and the token, empty if there was none. A token in the address is never looked at."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return "bearer", token.strip()
    key = request.headers.get("X-API-Key")
    return ("x_api_key", key) if key else ("none", "")
