"""A Redis that fails over: its address is asked of Sentinels at each new connection.

`redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/SERVICE[/DATABASE]`; user and password are those of the Redis.
With `rediss+sentinel` all of them are spoken to by TLS. What a failover loses is told as `session_regressed`.
"""

from __future__ import annotations

import weakref
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
PORT: Final = 26379
ASK_TIMEOUT_S: Final = 0.5
"""For one Sentinel to say where the primary is; then the next one is asked."""
SENTINELS_MAX: Final = 16

_FORM: Final = "redis+sentinel://HOST:26379,HOST:26379/SERVICE"


class Place(NamedTuple):
    """What an address says."""

    sentinels: list[tuple[str, int]]
    service: str
    settings: dict[str, Any]
    """Of the connections to the Redis, as the library names them."""
    is_tls: bool


def is_sentinel(url: str) -> bool:
    """Whether the address is one of Sentinels."""
    return urlsplit(url).scheme in SCHEMES


def place_of(url: str) -> Place:
    """Raises `ValueError` for an address that can't be meant."""
    parts = urlsplit(url)
    who, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(f"the service that the Sentinels watch is missing: {_FORM}")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError(f"the database is a number, as in {_FORM}/0, and not {database[:64]!r}")
    sentinels = [_sentinel(host) for host in hosts.split(",")]
    if len(sentinels) > SENTINELS_MAX:
        raise ValueError(f"there are more than {SENTINELS_MAX} Sentinels")
    is_tls = parts.scheme.startswith("rediss")
    settings = dict(parse_url(f"{'rediss' if is_tls else 'redis'}://{who}{at}sentinel/{database}?{parts.query}"))
    for ours in ("host", "port", "connection_class"):
        settings.pop(ours, None)
    return Place(sentinels, service, settings, is_tls)


def _sentinel(text: str) -> tuple[str, int]:
    parts = SplitResult("redis", text, "", "", "")
    if not parts.hostname:
        raise ValueError(f"a Sentinel is HOST or HOST:PORT, and not {text[:64]!r}")
    return parts.hostname, parts.port or PORT


class PrimaryPool(BlockingConnectionPool):
    """Connections to whatever is the primary when each of them is made."""

    is_master: Final = True
    check_connection: Final = False

    def __init__(self, place: Place) -> None:
        kind = SentinelManagedSSLConnection if place.is_tls else SentinelManagedConnection
        super().__init__(connection_class=kind, **place.settings)
        self.connection_kwargs["connection_pool"] = weakref.proxy(self)
        tls = {name: value for name, value in place.settings.items() if name.startswith("ssl_")}
        self._service = place.service
        self._address: tuple[str, int] | None = None
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
            place.sentinels,
            sentinel_kwargs={
                "socket_timeout": ASK_TIMEOUT_S, "socket_connect_timeout": ASK_TIMEOUT_S, "ssl": place.is_tls,
                "retry": Retry(NoBackoff(), 0), "protocol": place.settings["protocol"], "driver_info": None, **tls,
            },
        )  # fmt: skip

    async def get_master_address(self) -> tuple[str, int]:
        """Asked by each connection that is made; the idle ones to another server are of no use any more."""
        found: tuple[str, int] = await self._sentinel.discover_master(self._service)
        if found != self._address:
            self._address = found
            await super().disconnect(inuse_connections=False)
        return found

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Release everything, the connections to the Sentinels as well."""
        await super().disconnect(inuse_connections)
        await self._sentinel.aclose()
