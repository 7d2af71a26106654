"""Cross-origin requests (WHATWG Fetch): for the listed origins, exactly; never `*`, never with credentials."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from orchestrator.transports.problems import refused
from orchestrator.transports.rest.routes import Place

MAX_AGE_S: Final = 600
_ASKED: Final = (
    "Authorization, X-API-Key, Content-Type, Content-Digest, Idempotency-Key, If-None-Match, If-Range, "
    "Last-Event-ID, Range"
)
_SHOWN: Final = (
    "Content-Digest, Content-Disposition, Content-Location, Content-Range, ETag, Location, RateLimit, "
    "RateLimit-Policy, Retry-After"
)


def cors_headers(request: web.BaseRequest, origins: tuple[str, ...]) -> dict[str, str]:
    """What lets a page of a listed origin read the answer; nothing for any other."""
    if not origins:
        return {}
    origin = request.headers.get("Origin")
    if origin not in origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _SHOWN}


def options(request: web.BaseRequest, place: Place, origins: tuple[str, ...]) -> web.Response:
    """What may be asked at an address; to a browser of a listed origin, also that it may ask."""
    origin, allowed = request.headers.get("Origin"), ", ".join(place.methods)
    if origin is not None and origin not in origins:
        return refused("forbidden", "this origin may not connect", headers={"Allow": allowed})
    headers = {"Allow": allowed, "Cache-Control": "no-store"}
    if origin is not None:
        headers["Access-Control-Allow-Methods"] = allowed
        headers["Access-Control-Allow-Headers"] = _ASKED
        headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return web.Response(status=204, headers=headers)
