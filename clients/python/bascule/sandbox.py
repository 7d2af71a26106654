"""`Sandbox` and `AsyncSandbox`: sessions under the names that programs written for E2B use, where they mean the same.

What has no counterpart here is left out, so that it fails where it stands. docs/how-to/move-from-e2b.md has the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from bascule.async_client import AsyncClient
from bascule.async_session import AsyncSession
from bascule.client import Client
from bascule.errors import InvalidRequestError, NotFoundError, SessionGoneError
from bascule.execution import AsyncExecution, SyncExecution
from bascule.results import ExecutionError, Result
from bascule.sandbox_files import AsyncSandboxFiles, SandboxFiles
from bascule.session import Session
from bascule.settings import ApiKey


@dataclass(frozen=True, slots=True)
class OutputMessage:
    """A piece of output, as `on_stdout` and `on_stderr` get it."""

    line: str
    timestamp: int
    """Nanoseconds since 1970, when it arrived here."""
    error: bool = False

    def __str__(self) -> str:
        return self.line


OnOutput = Callable[[OutputMessage], Any]


def _output(callback: OnOutput | None, *, error: bool) -> Callable[[str], Any] | None:
    return None if callback is None else lambda text: callback(OutputMessage(text, time.time_ns(), error))


def _setting(envs: dict[str, str]) -> str:
    return f"import os as _os; _os.environ.update({envs!r}); del _os"


class Sandbox:
    """A session with a client of its own. As a context manager it is killed in the end."""

    def __init__(self, client: Client, session: Session) -> None:
        self.client = client
        self.session = session
        """Everything that a session can do."""
        self.files = SandboxFiles(session.files)

    @classmethod
    def create(
        cls, template: str | None = None, *, envs: dict[str, str] | None = None, api_key: ApiKey | None = None,
        url: str | None = None, **settings: Any,
    ) -> Self:  # fmt: skip
        """A new one; `template` is the name of a worker image. `settings` are those of `bascule.Settings`."""
        client = Client(api_key, url, **settings)
        try:
            made = cls(client, client.open(image=template))
            if envs:
                made.session.run(_setting(envs), silent=True)
            return made
        except BaseException:
            client.close()
            raise

    @classmethod
    def connect(
        cls, sandbox_id: str, *, api_key: ApiKey | None = None, url: str | None = None, **settings: Any
    ) -> Self:
        """Come back to one. Raises `NotFoundError`, `SessionGoneError`."""
        client = Client(api_key, url, **settings)
        try:
            return cls(client, client.attach(sandbox_id))
        except BaseException:
            client.close()
            raise

    @property
    def sandbox_id(self) -> str:
        """The session's id."""
        return self.session.id

    def run_code(
        self, code: str, language: Literal["python"] | None = None, *, on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None, on_result: Callable[[Result], Any] | None = None,
        on_error: Callable[[ExecutionError], Any] | None = None, timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> SyncExecution:  # fmt: skip
        """Run code; see `Session.run`."""
        _check_language(language)
        return self.session.run(
            code, on_stdout=_output(on_stdout, error=False), on_stderr=_output(on_stderr, error=True),
            on_result=on_result, on_error=on_error, timeout=timeout, request_timeout=request_timeout,
        )  # fmt: skip

    def is_running(self) -> bool:
        """Whether the session is there."""
        try:
            self.session.history(1, 1)
        except (NotFoundError, SessionGoneError):
            return False
        return True

    def kill(self) -> bool:
        """End it for good."""
        try:
            self.session.close()
        finally:
            self.client.close()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()


class AsyncSandbox:
    """As `Sandbox`, for programs that run on asyncio."""

    def __init__(self, client: AsyncClient, session: AsyncSession) -> None:
        self.client = client
        self.session = session
        """Everything that a session can do."""
        self.files = AsyncSandboxFiles(session.files)

    @classmethod
    async def create(
        cls, template: str | None = None, *, envs: dict[str, str] | None = None, api_key: ApiKey | None = None,
        url: str | None = None, **settings: Any,
    ) -> Self:  # fmt: skip
        """See `Sandbox.create`."""
        client = AsyncClient(api_key, url, **settings)
        try:
            made = cls(client, await client.open(image=template))
            if envs:
                await made.session.run(_setting(envs), silent=True)
            return made
        except BaseException:
            await client.close()
            raise

    @classmethod
    async def connect(
        cls, sandbox_id: str, *, api_key: ApiKey | None = None, url: str | None = None, **settings: Any
    ) -> Self:
        """See `Sandbox.connect`."""
        client = AsyncClient(api_key, url, **settings)
        try:
            return cls(client, await client.attach(sandbox_id))
        except BaseException:
            await client.close()
            raise

    @property
    def sandbox_id(self) -> str:
        """The session's id."""
        return self.session.id

    async def run_code(
        self, code: str, language: Literal["python"] | None = None, *, on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None, on_result: Callable[[Result], Any] | None = None,
        on_error: Callable[[ExecutionError], Any] | None = None, timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> AsyncExecution:  # fmt: skip
        """Run code; see `AsyncSession.run`."""
        _check_language(language)
        return await self.session.run(
            code, on_stdout=_output(on_stdout, error=False), on_stderr=_output(on_stderr, error=True),
            on_result=on_result, on_error=on_error, timeout=timeout, request_timeout=request_timeout,
        )  # fmt: skip

    async def is_running(self) -> bool:
        """Whether the session is there."""
        try:
            await self.session.history(1, 1)
        except (NotFoundError, SessionGoneError):
            return False
        return True

    async def kill(self) -> bool:
        """End it for good."""
        try:
            await self.session.close()
        finally:
            await self.client.close()
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.kill()


def _check_language(language: str | None) -> None:
    if language not in (None, "python"):
        raise InvalidRequestError(f"only python is served, not {language!r}")
