"""Refusals over plain HTTP, as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from replwire.envelopes import encode

PROBLEM_TYPE: Final = "application/problem+json"
SERVER: Final = "bascule"
"""What strangers are told of the software; versions are in `describe`, for those who may connect."""

_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    413: "Content too large",
    415: "Unsupported media type",
    429: "Too many requests",
    426: "Upgrade required",
    500: "Internal error",
    503: "Unavailable",
}


def problem(
    status: int, code: str, detail: str, *, retry_after_s: int | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """A response that says why not; `code` is one of `replwire.errors` or names the HTTP fault."""
    body: dict[str, object] = {
        "type": f"urn:bascule:error:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    sent = {"Cache-Control": "no-store", "Content-Type": PROBLEM_TYPE, **(headers or {})}
    if retry_after_s is not None:
        body["retry_after_ms"] = retry_after_s * 1000
        sent["Retry-After"] = str(retry_after_s)
    return web.Response(status=status, body=encode(body).encode("utf-8"), headers=sent)
