"""Header fields that every response carries, and the two looks at a request's head that come before all else."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.problems import SERVER, problem

EVERY_RESPONSE: Final = {
    "Server": SERVER,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Nothing here is a page: a browser that is made to show an answer must neither guess its type nor run any of it."""


def put_on(response: web.StreamResponse) -> None:
    """Must come before the response is begun."""
    response.headers.update(EVERY_RESPONSE)


def refused_head(request: web.BaseRequest, config: HttpConfig) -> web.Response | None:
    """The refusal of a request whose `Host` is not ours, or that has more header fields than anyone needs."""
    if len(request.headers) > config.header_fields_max:
        return _closing(problem(431, "headers_too_large", f"more than {config.header_fields_max} header fields"))
    if config.hosts and not _is_ours(request.headers.get("Host", ""), config.hosts):
        return _closing(problem(421, "misdirected", "this host is not served here"))
    return None


def _is_ours(host: str, ours: tuple[str, ...]) -> bool:
    """Whether `Host` is one of the list, as it is or without its port."""
    host = host.lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return any(own.lower() in (host, name) for own in ours)


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response
