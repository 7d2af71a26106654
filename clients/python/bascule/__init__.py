"""Bascule's Python client: sessions whose variables outlive their workers, from Python.

from bascule import Client

with Client() as client, client.open() as session:
    print(session.run("sum(range(5))").text)
"""

from bascule.answers import (
    Completeness,
    Completion,
    Copied,
    FileInfo,
    HistoryEntry,
    Inspection,
    Pin,
    Rewound,
    Variable,
)  # fmt: skip
from bascule.async_client import AsyncClient
from bascule.async_session import AsyncSession
from bascule.callbacks import Prompt
from bascule.client import Client
from bascule.errors import (
    AuthenticationError,
    BasculeError,
    ConflictError,
    ConnectionError,
    ExecutionTimeoutError,
    ForbiddenError,
    InterruptedError,
    InvalidRequestError,
    MemoryLimitError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaExceededError,
    RateLimitError,
    RequestCancelledError,
    RolledBackError,
    SessionError,
    SessionGoneError,
    SettingsError,
    TimeoutError,
    UnavailableError,
    WorkerDiedError,
)  # fmt: skip
from bascule.events import (
    ClearOutput,
    Committed,
    Disconnected,
    Display,
    Event,
    Gap,
    GoingAway,
    InputRequest,
    Reconnected,
    RolledBack,
    Status,
    Stderr,
    Stdout,
)  # fmt: skip
from bascule.execution import AsyncExecution, Execution, Finished, SyncExecution
from bascule.files import AsyncFiles
from bascule.results import ExecutionError, Frame, Logs, Receipt, Result
from bascule.sandbox import AsyncSandbox, Sandbox
from bascule.session import Files, Session
from bascule.settings import Settings

__all__ = [
    "AsyncClient", "AsyncExecution", "AsyncFiles", "AsyncSandbox", "AsyncSession", "AuthenticationError",
    "BasculeError", "ClearOutput", "Client", "Committed", "Completeness", "Completion", "ConflictError",
    "ConnectionError", "Copied", "Disconnected", "Display", "Event", "Execution", "ExecutionError",
    "ExecutionTimeoutError", "FileInfo", "Files", "Finished", "ForbiddenError", "Frame", "Gap", "GoingAway",
    "HistoryEntry", "InputRequest", "Inspection", "InterruptedError", "InvalidRequestError", "Logs", "MemoryLimitError",
    "NotFoundError", "OutcomeUnknownError", "Pin", "Prompt", "QuotaExceededError", "RateLimitError", "Receipt",
    "Reconnected", "RequestCancelledError", "Result", "Rewound", "RolledBack", "RolledBackError", "Sandbox", "Session",
    "SessionError", "SessionGoneError", "Settings", "SettingsError", "Status", "Stderr", "Stdout", "SyncExecution",
    "TimeoutError", "UnavailableError", "Variable", "WorkerDiedError",
]  # fmt: skip
