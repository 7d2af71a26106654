"""The exceptions of the client: one small tree, one class for each kind of thing that a caller may want to catch.

Which class a code of the wire becomes is the table at the end. An exception in the code that was run is none of
these: it is `execution.error`.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from replwire.errors import ERROR_CODES

NO_ANSWER: Final = "no_answer"
CONNECTION_LOST: Final = "connection_lost"
BAD_SETTING: Final = "bad_setting"
"""Codes of this client's own; all others are those of the protocol's reference."""


class BasculeError(Exception):
    """Anything that Bascule could not do; `code` says what, the message is for people."""

    default_code: ClassVar[str] = "internal"

    def __init__(
        self, message: str = "", *, code: str | None = None, retryable: bool | None = None,
        retry_after: float | None = None, incident: str | None = None, details: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        """A code of the protocol's reference, or one of this client's own."""
        row = ERROR_CODES.get(self.code)
        own = self.code in (NO_ANSWER, CONNECTION_LOST)
        self.retryable = retryable if retryable is not None else bool(own or (row and row.retryable))
        """Whether the same request may succeed when it is sent again unchanged (same code and id: it runs once)."""
        self.retry_after = retry_after
        """Seconds after which a retry makes sense, where the server said so."""
        self.incident = incident
        """The id under which the server's log has the rest."""
        self.details = dict(details or {})
        """Further facts: `field`, `limit`, `seq`, `generation`."""

    def __str__(self) -> str:
        more = f" (incident {self.incident})" if self.incident else ""
        return f"{self.code}: {self.message}{more}"


class SettingsError(BasculeError, ValueError):
    """A setting of this client that cannot work."""

    default_code = BAD_SETTING


class InvalidRequestError(BasculeError):
    """The request is malformed or too large: `bad_message`, `unknown_type`, `too_large`."""

    default_code = "bad_message"


class AuthenticationError(BasculeError):
    """No valid API key or token."""

    default_code = "unauthenticated"


class ForbiddenError(BasculeError):
    """The token's scopes, role or limits do not allow it."""

    default_code = "forbidden"


class NotFoundError(BasculeError):
    """No such session, request or file for this principal."""

    default_code = "not_found"


class ConflictError(BasculeError):
    """The request id was used with another body, or `if_seq` is not the last seq."""

    default_code = "conflict"


class UnavailableError(BasculeError):
    """Not now; nothing was started: `busy`, `capacity`, `draining`, `store_unavailable`."""

    default_code = "busy"


class RateLimitError(UnavailableError):
    """Too many requests in a short time; `retry_after` says when again."""

    default_code = "rate_limited"


class QuotaExceededError(BasculeError):
    """A quota of the tenant or the session is used up; `limit` names it."""

    default_code = "quota_exceeded"


class RequestCancelledError(BasculeError):
    """The request was dropped from the queue before it started."""

    default_code = "cancelled"


class TimeoutError(BasculeError, builtins.TimeoutError):
    """No answer came in the time that the caller or its settings gave; nothing is known of the request."""

    default_code = NO_ANSWER


class RolledBackError(BasculeError):
    """The eval was undone: the session goes on from the last commit, without any effect of it."""

    default_code = "rolled_back"


class ExecutionTimeoutError(RolledBackError, TimeoutError):
    """The eval's time passed and it did not let itself be interrupted. One that does ends with `execution.error`."""

    default_code = "timeout"


class InterruptedError(RolledBackError):
    """The interrupt was not obeyed and the worker was replaced. An eval that obeys ends with `execution.error`."""

    default_code = "interrupted"


class WorkerDiedError(RolledBackError):
    """The worker ended during the eval: crashed, was killed, stopped answering."""

    default_code = "worker_died"


class MemoryLimitError(WorkerDiedError):
    """The worker used more memory than it may."""

    default_code = "memory_limit"


class OutcomeUnknownError(BasculeError):
    """It is not known whether the request took effect."""

    default_code = "outcome_unknown"


class SessionError(BasculeError):
    """The session cannot go on."""

    default_code = "restore_failed"


class SessionGoneError(SessionError):
    """The session was closed or has expired."""

    default_code = "session_gone"


class ConnectionError(BasculeError, builtins.ConnectionError):
    """The server cannot be reached, and was not within the time for reconnecting."""

    default_code = CONNECTION_LOST


CLASS_OF: Final[dict[str, type[BasculeError]]] = {
    "bad_message": InvalidRequestError,
    "unknown_type": InvalidRequestError,
    "too_large": InvalidRequestError,
    "conflict": ConflictError,
    "unauthenticated": AuthenticationError,
    "forbidden": ForbiddenError,
    "not_found": NotFoundError,
    "busy": UnavailableError,
    "rate_limited": RateLimitError,
    "quota_exceeded": QuotaExceededError,
    "capacity": UnavailableError,
    "draining": UnavailableError,
    "store_unavailable": UnavailableError,
    "cancelled": RequestCancelledError,
    "timeout": ExecutionTimeoutError,
    "interrupted": InterruptedError,
    "memory_limit": MemoryLimitError,
    "worker_crashed": WorkerDiedError,
    "worker_died": WorkerDiedError,
    "worker_unresponsive": WorkerDiedError,
    "worker_protocol_error": WorkerDiedError,
    "outcome_unknown": OutcomeUnknownError,
    "rolled_back": RolledBackError,
    "restore_failed": SessionError,
    "session_regressed": SessionError,
    "session_gone": SessionGoneError,
    "internal": BasculeError,
}
"""Every code of the wire, and the class that it becomes."""

_COMMON: Final = frozenset({"code", "message", "retryable", "retry_after_ms", "incident"})


def error_of(payload: Mapping[str, Any]) -> BasculeError:
    """The payload of an `error` envelope, or a problem response, as an exception. A code of the future is kept."""
    code = str(payload.get("code") or "internal")
    wait_ms, retryable = payload.get("retry_after_ms"), payload.get("retryable")
    return CLASS_OF.get(code, BasculeError)(
        str(payload.get("message") or payload.get("detail") or "no words came with it"),
        code=code,
        retryable=retryable if isinstance(retryable, bool) else None,
        retry_after=wait_ms / 1000 if isinstance(wait_ms, int | float) else None,
        incident=payload.get("incident"),
        details={name: value for name, value in payload.items() if name not in _COMMON},
    )
