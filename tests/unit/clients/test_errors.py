"""The tree of exceptions against the table of codes."""

from __future__ import annotations

import builtins
import pickle

import pytest

from bascule.errors import (
    CLASS_OF,
    BasculeError,
    ConnectionError,
    ExecutionTimeoutError,
    MemoryLimitError,
    RateLimitError,
    RolledBackError,
    TimeoutError,
    UnavailableError,
    WorkerDiedError,
    error_of,
)
from replwire.errors import ERROR_CODES


def test_every_code_of_the_wire_has_its_class():
    """A code that is added to the table needs a class, or this fails."""
    assert set(CLASS_OF) == set(ERROR_CODES)


@pytest.mark.parametrize("code", [row.name for row in ERROR_CODES.values() if row.state == "rolled_back"])
def test_what_undoes_an_eval_is_caught_as_one(code: str):
    """Whatever the cause: `except RolledBackError`."""
    assert issubclass(CLASS_OF[code], RolledBackError)


@pytest.mark.parametrize("row", ERROR_CODES.values(), ids=lambda row: row.name)
def test_a_code_keeps_its_name_and_whether_a_retry_helps(row):
    """As the table has it, when the server does not say."""
    error = error_of({"code": row.name, "message": "words"})
    assert (error.code, error.message, error.retryable) == (row.name, "words", row.retryable)


def test_everything_the_server_says_is_there():
    """Milliseconds become seconds; what has no attribute of its own is in `details`."""
    error = error_of(
        {"code": "rate_limited", "message": "slowly", "retryable": True, "retry_after_ms": 1500, "incident": "inc_1",
         "limit": "evals"}
    )  # fmt: skip
    assert isinstance(error, RateLimitError) and isinstance(error, UnavailableError)
    assert (error.retry_after, error.incident, error.details) == (1.5, "inc_1", {"limit": "evals"})
    assert str(error) == "rate_limited: slowly (incident inc_1)"


def test_a_code_of_the_future_is_kept():
    """A newer server does not break an older client."""
    error = error_of({"code": "moon_phase", "message": "wait", "retryable": True})
    assert (type(error), error.code, error.retryable) == (BasculeError, "moon_phase", True)


def test_our_names_are_caught_under_pythons_too():
    """They stand in for the builtins of the same name."""
    assert issubclass(TimeoutError, builtins.TimeoutError)
    assert issubclass(ExecutionTimeoutError, TimeoutError) and not issubclass(TimeoutError, RolledBackError)
    assert issubclass(ConnectionError, builtins.ConnectionError)
    assert issubclass(MemoryLimitError, WorkerDiedError)
    assert ConnectionError("gone").retryable


def test_an_exception_goes_through_a_process_boundary():
    """As it does with multiprocessing and with task queues."""
    error = error_of({"code": "timeout", "message": "late", "retry_after_ms": 10})
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, str(again), again.retry_after) == (
        ExecutionTimeoutError,
        "timeout",
        "timeout: late",
        0.01,
    )
