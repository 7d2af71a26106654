"""Refusals over plain HTTP, as problem details (RFC 9457), with the codes of the wire and one status for each."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from orchestrator.core.encoding import to_text
from orchestrator.core.ids import RANDOM_BYTES, prefixed_id
from replwire.errors import ERROR_CODES, WireError

PROBLEM_TYPE: Final = "application/problem+json"
SERVER: Final = "bascule"
"""What strangers are told of the software; versions are in `describe`, for those who may connect."""

INCIDENT: Final = web.ResponseKey("incident", str)
"""Where a response holds the id under which the log has the rest."""

STATUS_OF: Final[dict[str, int]] = {
    "bad_message": 400,
    "unknown_type": 400,
    "too_large": 413,
    "conflict": 409,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "busy": 503,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "capacity": 503,
    "draining": 503,
    "store_unavailable": 503,
    "cancelled": 409,
    # What the tenant's own code or wish brought about is no fault of a server.
    "timeout": 422,
    "interrupted": 409,
    "memory_limit": 422,
    "worker_crashed": 422,
    "worker_died": 502,
    "worker_unresponsive": 502,
    "worker_protocol_error": 502,
    "outcome_unknown": 502,
    "rolled_back": 409,
    "restore_failed": 500,
    "session_regressed": 500,
    "session_gone": 410,
    "internal": 500,
    # Faults that only HTTP has.
    "bad_request": 400,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "length_required": 411,
    "unsupported_encoding": 415,
    "unsupported_media_type": 415,
    "range_not_satisfiable": 416,
    "misdirected": 421,
    "idempotency_key_reused": 422,
    "upgrade_required": 426,
    "headers_too_large": 431,
    "keys_unavailable": 503,
}
"""Every `code` of a problem with its status."""

_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length required",
    413: "Content too large",
    415: "Unsupported media type",
    416: "Range not satisfiable",
    421: "Misdirected request",
    422: "Not processed",
    426: "Upgrade required",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal error",
    502: "Worker failed",
    503: "Unavailable",
}
_RENAMED: Final = {"message": "detail"}
"""Members of an `error` payload that have another name in a problem."""


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
    incident: str | None = None,
    **more: Any,
) -> web.Response:
    """A response that says why not; `code` is one of `STATUS_OF`, `more` are further members."""
    incident = incident or prefixed_id("inc", secrets.token_bytes(RANDOM_BYTES))
    body: dict[str, object] = {
        "type": f"urn:bascule:error:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "instance": f"urn:bascule:incident:{incident}",
        "code": code,
        "retryable": code in ERROR_CODES and ERROR_CODES[code].retryable,
        "incident": incident,
        **more,
    }
    sent = {"Cache-Control": "no-store", "Content-Type": PROBLEM_TYPE, **(headers or {})}
    if retry_after_s is not None:
        body["retry_after_ms"] = round(retry_after_s * 1000)
        sent["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    response = web.Response(status=status, body=to_text(body).encode("utf-8"), headers=sent)
    response[INCIDENT] = incident
    return response


def refused(code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> web.Response:
    """The problem of a code, with the status that the table has for it."""
    return problem(STATUS_OF[code], code, detail, headers=headers, **more)


def problem_of(error: Mapping[str, Any]) -> web.Response:
    """The problem that says what the payload of an `error` envelope says."""
    members = {_RENAMED.get(name, name): value for name, value in error.items()}
    code, detail = members.pop("code"), members.pop("detail")
    wait_ms, incident = members.pop("retry_after_ms", None), members.pop("incident", None)
    members.pop("retryable", None)
    if isinstance(field := members.get("field"), str):
        members["field"] = field.removeprefix("payload.")
    wait_s = None if wait_ms is None else wait_ms / 1000
    return problem(STATUS_OF[code], code, detail, retry_after_s=wait_s, incident=incident, **members)


def problem_for(error: WireError) -> web.Response:
    """The problem of an error that no envelope has carried."""
    return problem_of(error.payload(prefixed_id("inc", secrets.token_bytes(RANDOM_BYTES))))
