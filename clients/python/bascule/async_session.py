"""A session, for programs that run on asyncio."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, Unpack

from bascule.answers import (
    Completeness,
    Completion,
    HistoryEntry,
    Inspection,
    Variable,
    answer_of,
)  # fmt: skip
from bascule.async_states import AsyncStates, Attach
from bascule.callbacks import Callbacks, Prompt
from bascule.connection import Connection
from bascule.errors import NotFoundError, SessionGoneError
from bascule.evaluation import EvalOptions, Evaluation, MoreOptions, begin
from bascule.events import Event, InputRequest
from bascule.execution import AsyncExecution, Finished
from bascule.files import AsyncFiles
from bascule.results import ExecutionError, Result
from replwire.frames import END_OF_INPUT


class AsyncSession(AsyncStates):
    """Made by `AsyncClient.open` and `AsyncClient.attach`.

    As a context manager it closes the session that it opened, and detaches from one that it attached to.
    """

    def __init__(self, connection: Connection, attach: Attach, *, is_owner: bool) -> None:
        super().__init__(connection, attach)
        self.files = AsyncFiles(connection.ask)
        self._is_owner = is_owner
        self._is_over = False
        self._running: dict[str, Evaluation[AsyncExecution]] = {}

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """With it `attach` finds the session again, from anywhere."""
        return self.connection.session

    @property
    def seq(self) -> int:
        """Number of the last commit that this client knows of."""
        return self.connection.inbox.seq

    @property
    def etag(self) -> str:
        """Of that commit."""
        return self.connection.inbox.etag

    @property
    def cursor(self) -> str | None:
        """Of the last event: `attach` with it misses nothing."""
        cursor = self.connection.inbox.cursor
        return str(cursor) if cursor is not None else None

    # --- evals --------------------------------------------------------------------------------------------------

    async def run(
        self, code: str, *, on_stdout: Callable[[str], Any] | None = None,
        on_stderr: Callable[[str], Any] | None = None, on_result: Callable[[Result], Any] | None = None,
        on_error: Callable[[ExecutionError], Any] | None = None, timeout: float | None = None,
        input: Callable[[Prompt], Any] | None = None, **more: Unpack[MoreOptions],
    ) -> AsyncExecution:  # fmt: skip
        """Run code; what it showed, its value, and its exception if it had one.

        The callbacks hear of output while it runs; they and `input`, which answers `input()`, may be coroutine
        functions. `input` may raise `EOFError`, as the function of that name does: the code sees the same.
        `timeout`: seconds after which the eval is interrupted. When the wait is given up (cancelled, or a
        callback raised), the eval is interrupted. Raises `RolledBackError` when the eval was undone, and the other
        exceptions of `bascule.errors`; an exception in the code is `execution.error`.
        """
        callbacks = Callbacks(on_stdout, on_stderr, on_result, on_error, input)
        options = EvalOptions(callbacks.wants_stream, timeout, input is not None, **more)
        evaluation = await self.begin(code, options)
        try:
            while events := await evaluation.take():
                for event in events:
                    await _if_awaitable(callbacks.on_event(event))
                    if isinstance(event, InputRequest) and input is not None:
                        await evaluation.send_input(event, await _answer(callbacks, event))
            execution = await self._finished(evaluation)
        except BaseException:
            await evaluation.abandon()
            raise
        for returned in callbacks.on_end(execution):
            await _if_awaitable(returned)
        return execution

    async def stream(
        self, code: str, *, timeout: float | None = None, allow_stdin: bool = False, **more: Unpack[MoreOptions]
    ) -> AsyncGenerator[Event, None]:
        """Run code and yield its events as they come, `Finished` last.

        With `allow_stdin`, answer an `InputRequest` with `send_input`. Leaving the loop early interrupts the eval.
        """
        evaluation = await self.begin(code, EvalOptions(True, timeout, allow_stdin, **more))
        self._running[evaluation.id] = evaluation
        try:
            while events := await evaluation.take():
                for event in events:
                    yield event
            yield Finished(await self._finished(evaluation), request=evaluation.id)
        finally:
            self._running.pop(evaluation.id, None)
            await evaluation.abandon()

    async def begin(self, code: str, options: EvalOptions) -> Evaluation[AsyncExecution]:
        """Send an eval, for callers that want to take its events themselves."""
        return await begin(self.connection, code, options, AsyncExecution)

    async def _finished(self, evaluation: Evaluation[AsyncExecution]) -> AsyncExecution:
        execution = await evaluation.finish()
        execution._wait = evaluation.wait_committed
        return execution

    async def send_input(self, asked: InputRequest, text: str) -> None:
        """The answer to an `InputRequest` of `stream`: a line, without its end."""
        evaluation = self._running.get(asked.request or "")
        if evaluation is None:
            raise NotFoundError("no eval of this session's `stream` waits for input")
        await evaluation.send_input(asked, text)

    async def interrupt(self, request_id: str | None = None) -> str:
        """Stop the eval that runs, or only that one; `interrupted`, `idle` or `mismatch`."""
        return str((await self._ask("interrupt", target=request_id))["status"])

    async def cancel(self, request_id: str) -> str:
        """Drop an eval that waits; `cancelled` or `running`. Raises `NotFoundError` when it does neither."""
        return str((await self._ask("cancel", target=request_id))["status"])

    # --- questions ----------------------------------------------------------------------------------------------

    async def complete(self, code: str, cursor: int | None = None) -> list[Completion]:
        """What may stand at the cursor (in characters; None: at the end)."""
        said = await self._ask("complete", code=code, cursor=len(code) if cursor is None else cursor)
        return [answer_of(Completion, match) for match in said["matches"]]

    async def inspect(self, code: str, cursor: int | None = None, *, detail: int = 0) -> Inspection:
        """Signature and docstring of what stands at the cursor; `detail` 1: its source as well."""
        place = len(code) if cursor is None else cursor
        return answer_of(Inspection, await self._ask("inspect", code=code, cursor=place, detail=detail))

    async def is_complete(self, code: str) -> Completeness:
        """Whether the code can be run as it is."""
        return answer_of(Completeness, await self._ask("is_complete", code=code))

    async def variables(self, prefix: str | None = None) -> list[Variable]:
        """The names of the session, up to 1,000, in their order."""
        said = await self._ask("variables", prefix=prefix)
        return [answer_of(Variable, entry) for entry in said["variables"]]

    async def history(self, first: int | None = None, last: int | None = None) -> list[HistoryEntry]:
        """Entries of the journal, up to 100: from seq `first` to seq `last`; without `first` the newest."""
        said = await self._ask("history", **{"from": first, "to": last})
        return [answer_of(HistoryEntry, entry) for entry in said["entries"]]

    async def ping(self) -> None:
        """Return when the server has answered."""
        await self._ask("ping")

    async def reconnect(self) -> None:
        """Make the connection anew, and return when the server has answered over it."""
        await self.connection.reconnect()
        await self.ping()

    # --- the end ------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End the session for good: what runs in it, its state, its files. Closing it again does nothing."""
        if self._is_over:
            return
        try:
            await self._ask("close")
        except (NotFoundError, SessionGoneError):
            pass  # it has ended already
        finally:
            await self._leave()

    async def kill(self) -> None:
        """The same as `close`."""
        await self.close()

    async def detach(self) -> None:
        """Hang up and leave the session running; `attach(session.id)` comes back to it."""
        await self._leave()

    async def _leave(self) -> None:
        self._is_over = True
        await self.connection.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await (self.close() if self._is_owner else self.detach())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


async def _answer(callbacks: Callbacks, event: InputRequest) -> str:
    try:
        return str(await _if_awaitable(callbacks.answer(event)))
    except EOFError:
        return END_OF_INPUT


async def _if_awaitable(returned: Any | Awaitable[Any]) -> Any:
    return await returned if inspect.isawaitable(returned) else returned
