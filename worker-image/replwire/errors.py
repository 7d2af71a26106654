"""The error codes of the wire: one table, from which the reference and the JSON Schema are made.

A code is stable; the message beside it is for people and may change. `retryable` says whether the same request may
succeed when it is sent again unchanged.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class ErrorCode(NamedTuple):
    """One row: what the code means, whether a retry helps, and what happened to the session's state."""

    name: str
    retryable: bool
    state: str
    meaning: str


_ROWS: Final = (
    ErrorCode("bad_message", False, "unchanged", "the envelope or its payload is malformed; `field` names where"),
    ErrorCode("unknown_type", False, "unchanged", "no request of that type is served"),
    ErrorCode("too_large", False, "unchanged", "a size is over its limit; `limit` names it"),
    ErrorCode("conflict", False, "unchanged", "the id was used with another body, or `if_seq` is not the last seq"),
    ErrorCode("unauthenticated", False, "unchanged", "no valid token"),
    ErrorCode("forbidden", False, "unchanged", "the principal's scopes, role or limits do not allow it"),
    ErrorCode("not_found", False, "unchanged", "no such session, request or file for this principal"),
    ErrorCode("busy", True, "unchanged", "too many requests wait in this session, or its worker is out of reach now"),
    ErrorCode("rate_limited", True, "unchanged", "too many requests in a short time"),
    ErrorCode("quota_exceeded", True, "unchanged", "a quota of the tenant or the session is used up; `limit` names it"),
    ErrorCode("capacity", True, "unchanged", "no worker became free in time"),
    ErrorCode(
        "draining",
        True,
        "unchanged",
        "this front door is going away; connect again. With `dispatched`, its worker goes on: ask by the same id",
    ),
    ErrorCode("store_unavailable", True, "unchanged", "the store did not answer; nothing was started"),
    ErrorCode("cancelled", False, "unchanged", "the request was dropped from the queue before it started"),
    ErrorCode("timeout", True, "rolled_back", "the time limit passed and the worker had to be replaced"),
    ErrorCode("interrupted", False, "rolled_back", "the interrupt was not obeyed and the worker had to be replaced"),
    ErrorCode("memory_limit", False, "rolled_back", "the worker was killed for its use of memory"),
    ErrorCode("worker_crashed", False, "rolled_back", "the worker ended by itself; the message says how"),
    ErrorCode("worker_died", True, "rolled_back", "the worker was killed from outside"),
    ErrorCode("worker_unresponsive", True, "rolled_back", "the worker stopped answering"),
    ErrorCode("worker_protocol_error", False, "rolled_back", "the worker broke the internal protocol"),
    ErrorCode("outcome_unknown", False, "unknown", "it is not known whether the request took effect"),
    ErrorCode("rolled_back", True, "rolled_back", "the request was undone before it was committed"),
    ErrorCode("restore_failed", False, "stopped", "the last checkpoint could not be opened"),
    ErrorCode("session_regressed", False, "stopped", "the store lost a commit that had been confirmed"),
    ErrorCode("session_gone", False, "ended", "the session was closed or has expired"),
    ErrorCode("internal", True, "unknown", "a fault of ours; the log has the rest under `incident`"),
)

ERROR_CODES: Final[dict[str, ErrorCode]] = {row.name: row for row in _ROWS}


class CloseCode(NamedTuple):
    """A WebSocket close code that is used, and when (RFC 6455, section 7.4)."""

    code: int
    meaning: str


CLOSE_CODES: Final = (
    CloseCode(1000, "normal end"),
    CloseCode(1002, "protocol error in the WebSocket frames"),
    CloseCode(1003, "a binary message, where JSON text is expected"),
    CloseCode(1007, "text that is not UTF-8"),
    CloseCode(1008, "policy: authentication, too many bad messages, a client that sends too slowly"),
    CloseCode(1009, "a message over `envelope_bytes_max`"),
    CloseCode(1011, "a fault of ours"),
    CloseCode(1012, "this front door is going away"),
    CloseCode(1013, "try again later: a client that reads too slowly, or no room"),
)


class WireError(Exception):
    """A request that cannot be served, with the facts that its `error` envelope carries.

    `code` is a name of the table above; `retry_after_ms` is set where a retry makes sense; `details` are further
    members of the payload (`field`, `limit`, `generation`, …).
    """

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None, **details: object) -> None:
        super().__init__(message)
        self.code = ERROR_CODES[code].name
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.details = details

    def payload(self, incident: str) -> dict[str, object]:
        """The payload of the `error` envelope; `incident` is the id under which the log has the rest."""
        body: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "retryable": ERROR_CODES[self.code].retryable,
            "incident": incident,
            **self.details,
        }
        if self.retry_after_ms is not None:
            body["retry_after_ms"] = self.retry_after_ms
        return body
