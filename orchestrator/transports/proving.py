"""How a request proves who it is from: a token in a header, or for a WebSocket a one-time ticket in the address.

Whoever shows wrong ones has to wait, each time longer, by address and by what was shown. A token that was good from
an address before is tried nevertheless, so that one bad client does not lock out those behind the same address.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from orchestrator.core.backoff import Backoff
from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator, ProofUnavailableError, TicketOffice
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.addresses import Addresses
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.problems import problem
from replwire.errors import WireError

TICKET: Final = "ticket"
"""The parameter of the address that a ticket stands in."""
KNOWN_MAX: Final = 10_000
"""Good tokens that are remembered with their address; the oldest is forgotten for a new one."""
REFUSAL: Final = "no valid token"
"""Of whatever kind it is."""
CHALLENGE: Final = 'Bearer realm="bascule"'

_TOKENS_IN_ADDRESS: Final = frozenset({"access_token", "api_key", "apikey", "authorization", "jwt", "token"})
_STATUS: Final = {"unauthenticated": 401, "store_unavailable": 503}


class Refusal(Exception):
    """The response to send instead of what was asked for."""

    def __init__(self, reason: str, response: web.Response) -> None:
        super().__init__(reason)
        self.reason = reason
        self.response = response


@dataclass(frozen=True, slots=True)
class Guest:
    """Who was let in. The token is not kept: the principal says what is needed to check it again."""

    principal: Principal
    address: str


@dataclass(slots=True)
class _Failures:
    by_address: Backoff
    by_credential: Backoff
    known: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)


class Prover:
    """Turns requests into guests."""

    def __init__(
        self, config: HttpConfig, authenticator: Authenticator, tickets: TicketOffice | None, metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._config = config
        self._authenticator = authenticator
        self._tickets = tickets
        self._metrics = metrics
        self._monotonic = monotonic
        self.addresses = Addresses(config.trusted_proxies)
        free, wait_s_max = config.auth_failures_max, config.auth_wait_s_max
        self._failures = _Failures(Backoff(free, wait_s_max), Backoff(free, wait_s_max))

    def by_token(self, request: web.BaseRequest) -> Guest:
        """For plain HTTP; raises `Refusal`."""
        if TICKET in request.query:
            raise self._wrong("ticket", "")
        return self._by_header(request)

    async def by_token_or_ticket(self, request: web.BaseRequest) -> Guest:
        """For a WebSocket; raises `Refusal`. Both at once are neither."""
        if TICKET not in request.query:
            return self._by_header(request)
        address, method = self.addresses.of(request), shown_token(request)[0]
        shown = request.query.getall(TICKET)
        self._check_wait(address, "")
        if method != "none" or len(shown) != 1 or self._tickets is None:
            raise self._wrong("ticket", address)
        try:
            return Guest(await self._tickets.redeem(shown[0]), address)
        except WireError as error:
            raise self._wrong("ticket", address, error=error) from None

    def stands(self, guest: Guest) -> bool:
        """Whether whoever was let in would be let in now."""
        return self._authenticator.stands(guest.principal)

    def _by_header(self, request: web.BaseRequest) -> Guest:
        address, (method, token) = self.addresses.of(request), shown_token(request)
        if _TOKENS_IN_ADDRESS.intersection(name.lower() for name in request.query):
            raise self._wrong("address", address, hint="; one in the address is never looked at")
        if not token:
            raise self._wrong("none", "")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        self._check_wait(address, digest)
        try:
            principal = self._authenticator.authenticate(token)
        except WireError as error:
            raise self._wrong(method, address, digest, error=error) from None
        except ProofUnavailableError as error:
            raise self._unsure(error) from None
        self._remember(address, digest)
        return Guest(principal, address)

    # --- failures -----------------------------------------------------------------------------------------------

    def _check_wait(self, address: str, digest: str) -> None:
        if (address, digest) in self._failures.known:
            return
        now = self._monotonic()
        wait_s = max(self._failures.by_address.wait_s(address, now), self._failures.by_credential.wait_s(digest, now))
        if wait_s > 0:
            said = "too many refused tokens; wait before the next one"
            raise Refusal("rate_limited", problem(429, "rate_limited", said, retry_after_s=math.ceil(wait_s)))

    def _remember(self, address: str, digest: str) -> None:
        known = self._failures.known
        known[address, digest] = None
        known.move_to_end((address, digest))
        if len(known) > KNOWN_MAX:
            known.popitem(last=False)

    def _unsure(self, error: ProofUnavailableError) -> Refusal:
        """That is no failure of the client's, and does not count as one."""
        said, wait_s = str(error), self._config.retry_after_s
        code = "keys_unavailable"
        return Refusal(code, problem(503, code, said, retry_after_s=wait_s, retryable=True))

    def _wrong(
        self, method: str, address: str, digest: str = "", *, error: WireError | None = None, hint: str = ""
    ) -> Refusal:
        """Count it, unless nothing was shown, and say no: in the same words whatever was wrong with it."""
        code = error.code if error is not None else "unauthenticated"
        if code == "unauthenticated":
            self._metrics.auth_failures.labels(method).inc()
            self._count(address, digest)
            detail = f"{REFUSAL}{hint}"
            return Refusal(code, problem(401, code, detail, headers={"WWW-Authenticate": CHALLENGE}))
        retry_after_s = self._config.retry_after_s
        return Refusal(code, problem(_STATUS.get(code, 500), code, str(error), retry_after_s=retry_after_s))

    def _count(self, address: str, digest: str) -> None:
        now = self._monotonic()
        self._failures.known.pop((address, digest), None)
        if address:
            self._failures.by_address.failed(address, now)
        if digest:
            self._failures.by_credential.failed(digest, now)


def shown_token(request: web.BaseRequest) -> tuple[str, str]:
    """How a token was shown and the token, empty if there was none. A token in the address is never looked at."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return "bearer", token.strip()
    key = request.headers.get("X-API-Key")
    return ("x_api_key", key) if key else ("none", "")
