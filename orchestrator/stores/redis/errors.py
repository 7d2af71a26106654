"""The border: errors of the client library and answers of the server become `WireError`."""

from __future__ import annotations

import ssl
from typing import Final

from redis import exceptions

from replwire.errors import WireError

FOREIGN: Final = (exceptions.RedisError, OSError)
"""All that a call to Redis may raise (`TimeoutError` is an `OSError`)."""

RETRY_AFTER_MS: Final = 1000

LOST: Final = (exceptions.ConnectionError, ConnectionError)
"""The connection went away: worth asking once more at once, unlike a server that does not answer."""

_CAUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.MaxConnectionsError, "connections"),
    (exceptions.AuthenticationError, "refused"),
    (exceptions.AuthorizationError, "refused"),
    (exceptions.NoPermissionError, "refused"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.OutOfMemoryError, "full"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.NoScriptError, "noscript"),
    (ssl.SSLError, "tls"),
    (exceptions.ConnectionError, "unreachable"),
    (OSError, "unreachable"),
)
_TELLING: Final = (
    ssl.SSLError,
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
    exceptions.BusyLoadingError,
)
_CHAIN_MAX: Final = 8
_DAMAGED: Final = ("DAMAGED", "WRONGTYPE")


def translated(error: BaseException) -> WireError:
    """`store_unavailable` with its cause in one word, or `internal` when the store answers and holds nonsense."""
    if isinstance(error, WireError):
        return error
    error = _inner(error)
    for kind, cause in _CAUSES:
        if isinstance(error, kind):
            return unavailable(cause)
    # `-CODE words`: MISCONF, MASTERDOWN, CLUSTERDOWN, TRYAGAIN, BUSY, NOREPLICAS, UNKILLABLE, …
    first = (str(error).split() or [type(error).__name__])[0]
    if first in _DAMAGED:
        return damaged(str(error))
    return unavailable(str(getattr(error, "status_code", None) or first).lower())


def _inner(error: BaseException) -> BaseException:
    """What went wrong while connecting comes wrapped: the reason, where there is a telling one."""
    link: BaseException | None = error if type(error) is exceptions.ConnectionError else None
    for _ in range(_CHAIN_MAX):
        if link is None:
            break
        if isinstance(link, _TELLING):
            return link
        link = link.__cause__ or link.__context__
    return error


def unavailable(cause: str) -> WireError:
    """The store did not do it, or did not say so in time."""
    return WireError("store_unavailable", f"the store is away: {cause}", retry_after_ms=RETRY_AFTER_MS, cause=cause)


def damaged(what: str) -> WireError:
    """The store answers, and what it holds cannot be."""
    return WireError("internal", f"the store holds something damaged: {what}", cause="damaged")
