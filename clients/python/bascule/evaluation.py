"""One eval from its request to its `Execution`, the same for both kinds of session."""

from __future__ import annotations

import asyncio
import contextlib
from builtins import TimeoutError as PlainTimeoutError
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar

from bascule.connection import Connection
from bascule.errors import NO_ANSWER, OutcomeUnknownError, TimeoutError
from bascule.events import Event, InputRequest, place_of
from bascule.execution import Execution, ExecutionBuilder, Made, settle
from bascule.kept import KeptResult
from bascule.requests import Json, Pending

Taken = TypeVar("Taken")


class MoreOptions(TypedDict, total=False):
    """What else `run` and `stream` take; see `EvalOptions`."""

    silent: bool
    if_seq: int | None
    on_disconnect: Literal["continue", "interrupt"]
    request_id: str | None
    request_timeout: float | None


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """How an eval is to run."""

    stream: bool = False
    """Output comes as events while it runs; without it, with the result."""
    timeout: float | None = None
    """Seconds after which it is interrupted; the session's limit can only be lowered."""
    allow_stdin: bool = False
    """`input()` may ask us."""
    silent: bool = False
    """No value is shown or kept in `_`."""
    if_seq: int | None = None
    """Start only if this is the session's last seq."""
    on_disconnect: Literal["continue", "interrupt"] = "continue"
    """`interrupt`: a lost connection stops it."""
    request_id: str | None = None
    """An id of the caller's own: the same id with the same code never runs twice."""
    request_timeout: float | None = None
    """Seconds that we wait in all, a lost connection included; then it is interrupted and `TimeoutError` is raised."""

    def payload(self, code: str) -> Json:
        """Of the request; what is as usual is left out."""
        said: Json = {"code": code}
        for name in ("stream", "allow_stdin", "silent"):
            if getattr(self, name):
                said[name] = True
        if self.timeout is not None:
            said["timeout_s"] = self.timeout
        if self.if_seq is not None:
            said["if_seq"] = self.if_seq
        if self.on_disconnect != "continue":
            said["on_disconnect"] = self.on_disconnect
        return said


class Evaluation(Generic[Made]):
    """An eval that was sent. Whoever begins one takes its events and then `finish`es or `abandon`s it."""

    def __init__(self, connection: Connection, pending: Pending, execution: Made, limit_s: float | None) -> None:
        self._connection = connection
        self._ends = None if limit_s is None else asyncio.get_running_loop().time() + limit_s
        self._pending = pending
        self._builder = ExecutionBuilder(execution)
        self._kept: KeptResult | None = None

    @property
    def id(self) -> str:
        """Of the request."""
        return self._pending.id

    async def take(self) -> list[Event]:
        """The events that are there, at least one; none when it has ended."""
        mailbox = self._pending.mailbox
        events = await self._in_time(mailbox.take()) if mailbox is not None else []
        for event in events:
            self._builder.add(event)
        return events

    async def finish_all(self) -> Made:
        """Take what is left, and finish."""
        while await self.take():
            pass
        return await self.finish()

    async def finish(self) -> Made:
        """Wait for its end. Raises what Bascule could not do; an exception of the code's own is in the result."""
        done = self._builder.finish(await self._in_time(self._answer()))
        self._kept = self._connection.inbox.kept.get(done.id) if done.state == "kept" else None
        if self._kept is not None:
            self._kept.settled.add_done_callback(lambda told: _settle(done, told))
        return done

    async def _answer(self) -> Json:
        return await asyncio.shield(self._pending.answer)

    async def _in_time(self, work: Coroutine[Any, Any, Taken]) -> Taken:
        limit = asyncio.timeout_at(self._ends)
        try:
            async with limit:
                return await work
        except PlainTimeoutError:
            if limit.expired():
                raise TimeoutError("no result within request_timeout", code=NO_ANSWER) from None
            raise

    async def wait_committed(self) -> None:
        """See `AsyncExecution.wait_committed`."""
        if self._kept is not None:
            await asyncio.shield(self._kept.settled)
        elif self._builder.execution.state != "committed":
            raise OutcomeUnknownError("this session commits nothing")

    async def send_input(self, asked: InputRequest, text: str) -> None:
        """Answer `input()`."""
        payload = {"target": self.id, "text": text}
        asked_at = place_of(asked.cursor)
        await self._connection.answer_to(await self._connection.submit("input", payload, asked_at=asked_at))

    async def abandon(self) -> None:
        """Nobody waits for it any longer: it is interrupted, if it has not ended."""
        if not self._pending.answer.done():
            self._connection.abandon(self._pending)
            with contextlib.suppress(Exception):
                await self._connection.submit("interrupt", {"target": self.id})


def _settle(execution: Execution, told: asyncio.Future[Json]) -> None:
    if not told.cancelled() and told.exception() is None:
        settle(execution, told.result())


async def begin(connection: Connection, code: str, options: EvalOptions, kind: type[Made]) -> Evaluation[Made]:
    """Send an eval."""
    pending = await connection.submit("eval", options.payload(code), id_=options.request_id, events=True)
    return Evaluation(connection, pending, kind(pending.id), options.request_timeout)
