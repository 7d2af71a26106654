"""Which exit code an exception of the client becomes."""

from __future__ import annotations

from typing import Final

from bascule.errors import (
    AuthenticationError,
    BasculeError,
    ConnectionError,
    ExecutionTimeoutError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    RolledBackError,
    SessionError,
    SettingsError,
    TimeoutError,
    UnavailableError,
)  # fmt: skip
from orchestrator.commands.exit_codes import (
    FAILED,
    NOT_FOUND,
    REFUSED,
    TIMED_OUT,
    UNAVAILABLE,
    UNDONE,
    UNKNOWN,
    WRONG,
)  # fmt: skip

# The first that fits; so a class stands before its base.
_OF: Final[tuple[tuple[type[BasculeError], int], ...]] = (
    (SettingsError, WRONG),
    (InvalidRequestError, WRONG),
    (AuthenticationError, REFUSED),
    (ForbiddenError, REFUSED),
    (NotFoundError, NOT_FOUND),
    (ExecutionTimeoutError, TIMED_OUT),
    (RolledBackError, UNDONE),
    (OutcomeUnknownError, UNKNOWN),
    (UnavailableError, UNAVAILABLE),
    (ConnectionError, UNAVAILABLE),
    (TimeoutError, UNAVAILABLE),
    (SessionError, NOT_FOUND),
)


def exit_code_of(error: BasculeError) -> int:
    """What a program ends with that could not go on."""
    return next((code for kind, code in _OF if isinstance(error, kind)), FAILED)
