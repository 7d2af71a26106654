"""A session, for programs that run on asyncio."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, Unpack, cast

from bascule.answers import (
    Completeness,
    Completion,
    Copied,
    HistoryEntry,
    Inspection,
    Pin,
    Rewound,
    Variable,
    answer_of,
)  # fmt: skip
from bascule.callbacks import Callbacks, Prompt
from bascule.connection import Connection
from bascule.errors import NotFoundError, SessionGoneError
from bascule.evaluation import EvalOptions, Evaluation, MoreOptions, begin
from bascule.events import Event, InputRequest
from bascule.execution import AsyncExecution, Finished
from bascule.files import AsyncFiles
from bascule.requests import Json
from bascule.results import ExecutionError, Result
from replwire.frames import END_OF_INPUT

Attach = Callable[[str], Awaitable["AsyncSession"]]
"""Binds to a session of the same server, by its id, as its owner."""


class AsyncSession:
    """Made by `AsyncClient.open` and `AsyncClient.attach`.

    As a context manager it closes the session that it opened, and detaches from one that it attached to.
    """

    def __init__(self, connection: Connection, attach: Attach, *, is_owner: bool) -> None:
        self.connection = connection
        self._attach = attach
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

    # --- states -------------------------------------------------------------------------------------------------

    async def rewind(self, seq: int) -> Rewound:
        """Go back: names and files are as they were after eval `seq`, one of `states()`. It is a commit of its own.

        What runs or waits raises `RolledBackError` where it is waited for. Raises `NotFoundError` for a state that is
        not kept any more; its `details` have `kept`.
        """
        return answer_of(Rewound, await self._ask("rewind", seq=seq))

    async def fork(self, seq: int | None = None, *, name: str | None = None) -> Self:
        """A new session that begins with the last committed state, or that of `seq`; its random generators are
        reseeded. As a context manager it closes the new session. Raises `NotFoundError`."""
        said = answer_of(Copied, await self._ask("fork", seq=seq, name=name))
        return cast(Self, await self._attach(said.session))

    async def states(self) -> list[int]:
        """Numbers of the states that `rewind`, `fork` and `pin` may name, the oldest first."""
        return list((await self._kept())["states"])

    async def pin(self, name: str, seq: int | None = None) -> Pin:
        """Keep the last committed state, or that of `seq`, under a name for as long as the session; a name that is in
        use moves. `client.open(from_=session.id, pin=name)` begins with it. Raises `NotFoundError`."""
        return answer_of(Pin, await self._ask("pin", name=name, seq=seq))

    async def unpin(self, name: str) -> None:
        """Let go of a name. Raises `NotFoundError`."""
        await self._ask("unpin", name=name)

    async def pins(self) -> list[Pin]:
        """The states that are kept under a name."""
        return [answer_of(Pin, pin) for pin in (await self._kept())["pins"]]

    async def _kept(self) -> Json:
        return await self._ask("history", **{"from": 1, "to": 0})

    async def ping(self) -> None:
        """Return when the server has answered."""
        await self._ask("ping")

    async def reconnect(self) -> None:
        """Make the connection anew, and return when the server has answered over it."""
        await self.connection.reconnect()
        await self.ping()

    async def _ask(self, type_: str, **payload: Any) -> Json:
        return await self.connection.ask(type_, {name: value for name, value in payload.items() if value is not None})

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
