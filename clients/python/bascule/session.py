"""A session, for programs without asyncio. Its methods are those of `AsyncSession`, which does the work."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self, Unpack

from bascule.answers import (
    Completeness,
    Completion,
    FileInfo,
    HistoryEntry,
    Inspection,
    Pin,
    Rewound,
    Variable,
)  # fmt: skip
from bascule.async_session import AsyncSession
from bascule.background import BackgroundLoop
from bascule.callbacks import Callbacks, Prompt
from bascule.errors import NO_ANSWER, NotFoundError, TimeoutError
from bascule.evaluation import EvalOptions, Evaluation, MoreOptions, begin
from bascule.events import Event, InputRequest
from bascule.execution import Finished, SyncExecution
from bascule.files import AsyncFiles
from bascule.results import ExecutionError, Result


class Session:
    """Made by `Client.open` and `Client.attach`; may be used from several threads.

    As a context manager it closes the session that it opened, and detaches from one that it attached to.
    """

    def __init__(self, session: AsyncSession, loop: BackgroundLoop, owner: object) -> None:
        self._session = session
        self._owner = owner  # a client that nobody else holds must live as long as its sessions
        self._loop = loop
        self._running: dict[str, Evaluation[SyncExecution]] = {}
        self.files = Files(session.files, loop)

    @property
    def id(self) -> str:
        """With it `attach` finds the session again, from anywhere."""
        return self._session.id

    @property
    def seq(self) -> int:
        """Number of the last commit that this client knows of."""
        return self._session.seq

    @property
    def etag(self) -> str:
        """Of that commit."""
        return self._session.etag

    @property
    def cursor(self) -> str | None:
        """Of the last event: `attach` with it misses nothing."""
        return self._session.cursor

    # --- evals --------------------------------------------------------------------------------------------------

    def run(
        self, code: str, *, on_stdout: Callable[[str], Any] | None = None,
        on_stderr: Callable[[str], Any] | None = None, on_result: Callable[[Result], Any] | None = None,
        on_error: Callable[[ExecutionError], Any] | None = None, timeout: float | None = None,
        input: Callable[[Prompt], Any] | None = None, **more: Unpack[MoreOptions],
    ) -> SyncExecution:  # fmt: skip
        """As `AsyncSession.run`; the callbacks and `input` are called on the thread that waits here.

        Ctrl-C interrupts the eval and raises `KeyboardInterrupt`.
        """
        callbacks = Callbacks(on_stdout, on_stderr, on_result, on_error, input)
        options = EvalOptions(callbacks.wants_stream, timeout, input is not None, **more)
        evaluation = self._begin(code, options)
        try:
            execution = self._served(evaluation, callbacks)
        except BaseException:
            self._loop.call(evaluation.abandon())
            raise
        callbacks.on_end(execution)
        return execution

    def _served(self, evaluation: Evaluation[SyncExecution], callbacks: Callbacks) -> SyncExecution:
        while events := self._loop.call(evaluation.take()) if callbacks.any else []:
            for event in events:
                callbacks.on_event(event)
                if isinstance(event, InputRequest) and callbacks.input is not None:
                    self._loop.call(evaluation.send_input(event, str(callbacks.answer(event))))
        return self._finished(evaluation)

    def stream(
        self, code: str, *, timeout: float | None = None, allow_stdin: bool = False, **more: Unpack[MoreOptions]
    ) -> Generator[Event, None, None]:
        """As `AsyncSession.stream`."""
        evaluation = self._begin(code, EvalOptions(True, timeout, allow_stdin, **more))
        self._running[evaluation.id] = evaluation
        try:
            while events := self._loop.call(evaluation.take()):
                yield from events
            yield Finished(self._finished(evaluation), request=evaluation.id)
        finally:
            self._running.pop(evaluation.id, None)
            self._loop.call(evaluation.abandon())

    def _begin(self, code: str, options: EvalOptions) -> Evaluation[SyncExecution]:
        return self._loop.call(begin(self._session.connection, code, options, SyncExecution))

    def _finished(self, evaluation: Evaluation[SyncExecution]) -> SyncExecution:
        execution = self._loop.call(evaluation.finish_all())

        def wait(timeout: float | None) -> None:
            try:
                self._loop.call(evaluation.wait_committed(), timeout)
            except builtins.TimeoutError as error:
                if isinstance(error, TimeoutError):
                    raise
                raise TimeoutError(f"not committed within {timeout:g} s", code=NO_ANSWER) from None

        execution._wait = wait
        return execution

    def send_input(self, asked: InputRequest, text: str) -> None:
        """As `AsyncSession.send_input`."""
        evaluation = self._running.get(asked.request or "")
        if evaluation is None:
            raise NotFoundError("no eval of this session's `stream` waits for input")
        self._loop.call(evaluation.send_input(asked, text))

    def interrupt(self, request_id: str | None = None) -> str:
        """As `AsyncSession.interrupt`."""
        return self._loop.call(self._session.interrupt(request_id))

    def cancel(self, request_id: str) -> str:
        """As `AsyncSession.cancel`."""
        return self._loop.call(self._session.cancel(request_id))

    # --- questions ----------------------------------------------------------------------------------------------

    def complete(self, code: str, cursor: int | None = None) -> list[Completion]:
        """As `AsyncSession.complete`."""
        return self._loop.call(self._session.complete(code, cursor))

    def inspect(self, code: str, cursor: int | None = None, *, detail: int = 0) -> Inspection:
        """As `AsyncSession.inspect`."""
        return self._loop.call(self._session.inspect(code, cursor, detail=detail))

    def is_complete(self, code: str) -> Completeness:
        """As `AsyncSession.is_complete`."""
        return self._loop.call(self._session.is_complete(code))

    def variables(self, prefix: str | None = None) -> list[Variable]:
        """As `AsyncSession.variables`."""
        return self._loop.call(self._session.variables(prefix))

    def history(self, first: int | None = None, last: int | None = None) -> list[HistoryEntry]:
        """As `AsyncSession.history`."""
        return self._loop.call(self._session.history(first, last))

    # --- states -------------------------------------------------------------------------------------------------

    def rewind(self, seq: int) -> Rewound:
        """As `AsyncSession.rewind`."""
        return self._loop.call(self._session.rewind(seq))

    def fork(self, seq: int | None = None, *, name: str | None = None) -> Session:
        """As `AsyncSession.fork`."""
        return Session(self._loop.call(self._session.fork(seq, name=name)), self._loop, self._owner)

    def states(self) -> list[int]:
        """As `AsyncSession.states`."""
        return self._loop.call(self._session.states())

    def pin(self, name: str, seq: int | None = None) -> Pin:
        """As `AsyncSession.pin`."""
        return self._loop.call(self._session.pin(name, seq))

    def unpin(self, name: str) -> None:
        """As `AsyncSession.unpin`."""
        self._loop.call(self._session.unpin(name))

    def pins(self) -> list[Pin]:
        """As `AsyncSession.pins`."""
        return self._loop.call(self._session.pins())

    def ping(self) -> None:
        """As `AsyncSession.ping`."""
        self._loop.call(self._session.ping())

    def reconnect(self) -> None:
        """As `AsyncSession.reconnect`."""
        self._loop.call(self._session.reconnect())

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """As `AsyncSession.close`."""
        self._loop.call(self._session.close())

    def kill(self) -> None:
        """As `AsyncSession.kill`."""
        self._loop.call(self._session.kill())

    def detach(self) -> None:
        """As `AsyncSession.detach`."""
        self._loop.call(self._session.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call(self._session.__aexit__(kind, error, traceback))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class Files:
    """As `AsyncFiles`."""

    def __init__(self, files: AsyncFiles, loop: BackgroundLoop) -> None:
        self._files = files
        self._loop = loop

    def read(self, path: str) -> bytes:
        """As `AsyncFiles.read`."""
        return self._loop.call(self._files.read(path))

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """As `AsyncFiles.read_text`."""
        return self._loop.call(self._files.read_text(path, encoding))

    def write(self, path: str, data: bytes | str) -> None:
        """As `AsyncFiles.write`."""
        self._loop.call(self._files.write(path, data))

    def delete(self, path: str) -> None:
        """As `AsyncFiles.delete`."""
        self._loop.call(self._files.delete(path))

    def list(self, path: str = ".") -> builtins.list[FileInfo]:
        """As `AsyncFiles.list`."""
        return self._loop.call(self._files.list(path))

    def stat(self, path: str) -> FileInfo:
        """As `AsyncFiles.stat`."""
        return self._loop.call(self._files.stat(path))

    def exists(self, path: str) -> bool:
        """As `AsyncFiles.exists`."""
        return self._loop.call(self._files.exists(path))
