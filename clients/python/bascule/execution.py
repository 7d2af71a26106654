"""What became of an eval: an `Execution`, made from its events and its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bascule.events import Display, Event, Gap, Stderr, Stdout
from bascule.results import ExecutionError, Logs, Receipt, Result, failure_of, receipt_of

Json = dict[str, Any]


@dataclass(slots=True)
class Execution:
    """An eval that has ended, well or with an exception of its own (`error`)."""

    id: str
    """Of the request: running it again under the same id gives this outcome again."""
    text: str | None = None
    """repr of the last expression; None when there was no value."""
    results: list[Result] = field(default_factory=list)
    """What was displayed, in order, and the value of the last expression behind it."""
    logs: Logs = field(default_factory=Logs)
    error: ExecutionError | None = None
    receipt: Receipt = field(default_factory=Receipt)
    seq: int = 0
    """Number of the eval, and so of the state after it."""
    state: str = "unknown"
    """`committed`: the store has it. `kept`: it has not yet, see `wait_committed`."""
    durable: str = "none"
    """`fsync`, `memory` or `none`: what the store really did."""
    unsaved: dict[str, str] = field(default_factory=dict)
    """Names that the checkpoint could not keep, with reasons."""
    etag: str | None = None
    """Of the state after it: a hash over all commits up to it."""
    gaps: list[Gap] = field(default_factory=list)
    """Output that was lost for good; empty unless a reconnect came too late for the server's memory."""

    @property
    def execution_count(self) -> int:
        """The same as `seq`."""
        return self.seq

    @property
    def main_result(self) -> Result | None:
        """The value of the last expression."""
        return next((result for result in reversed(self.results) if result.is_main_result), None)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[Json, Json]:
        """In a notebook: the value, else what was displayed last, else the text."""
        shown = self.main_result or (self.results[-1] if self.results else None)
        if shown is not None and self.error is None:
            return shown._repr_mimebundle_()
        texts = [*self.logs.stdout, self.error.traceback if self.error else ""]
        return {"text/plain": "".join(texts)}, {}


class AsyncExecution(Execution):
    """Of `AsyncSession`."""

    __slots__ = ("_wait",)
    _wait: Callable[[], Awaitable[None]]

    async def wait_committed(self) -> None:
        """Until the store has it; at once when it has already.

        Raises `RolledBackError` when it was undone before that, `OutcomeUnknownError` when nobody can tell, and
        `ConnectionError` when the connection could not be had back. Bound the wait with `asyncio.timeout`.
        """
        await self._wait()


class SyncExecution(Execution):
    """Of `Session`."""

    __slots__ = ("_wait",)
    _wait: Callable[[float | None], None]

    def wait_committed(self, timeout: float | None = None) -> None:
        """As `AsyncExecution.wait_committed`; raises `TimeoutError` after `timeout` seconds."""
        self._wait(timeout)


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The last event of `stream()`."""

    execution: Execution


Made = TypeVar("Made", bound=Execution)


class ExecutionBuilder(Generic[Made]):
    """Gathers an eval's events, in order, and then its result."""

    def __init__(self, execution: Made) -> None:
        self.execution = execution

    def add(self, event: Event) -> None:
        """One event of it."""
        logs = self.execution.logs
        match event:
            case Stdout():
                logs.stdout.append(event.text)
            case Stderr():
                logs.stderr.append(event.text)
            case Display():
                self._display(event)
            case Gap():
                self.execution.gaps.append(event)
            case _:
                pass

    def _display(self, event: Display) -> None:
        results, name = self.execution.results, event.result.display_id
        if not event.update:
            results.append(event.result)
            return
        for index, shown in enumerate(results):
            if shown.display_id == name:
                results[index] = event.result

    def finish(self, said: Json) -> Made:
        """The payload of its `result`."""
        done = self.execution
        self._add_texts(said)
        done.text = said.get("output")
        if said.get("data"):
            done.results.append(Result(said["data"], is_main_result=True))
        if said.get("error"):
            done.error = failure_of(said["error"], "".join(done.logs.stderr))
        done.receipt = receipt_of(said.get("receipt") or {})
        done.unsaved = said.get("unsaved") or {}
        settle(done, said)
        return done

    def _add_texts(self, said: Json) -> None:
        for name, pieces in (("stdout", self.execution.logs.stdout), ("stderr", self.execution.logs.stderr)):
            if said.get(name):
                pieces.append(said[name])


def settle(execution: Execution, said: Json) -> None:
    """What only a commit says."""
    execution.seq = int(said.get("seq") or execution.seq)
    execution.state = str(said.get("state") or execution.state)
    execution.durable = str(said.get("durable") or execution.durable)
    execution.etag = said.get("etag") or execution.etag
