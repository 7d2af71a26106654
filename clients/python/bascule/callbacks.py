"""The callbacks of `run`, and which event goes to which of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bascule.events import Display, Event, InputRequest, Stderr, Stdout
from bascule.execution import Execution
from bascule.results import ExecutionError, Result


class Prompt(str):
    """What `input()` shows. `password`: what is typed is not to be shown."""

    __slots__ = ("password",)
    password: bool

    def __new__(cls, text: str, password: bool = False) -> Prompt:
        """A prompt."""
        made = super().__new__(cls, text)
        made.password = password
        return made


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a caller wants to hear of. Those of `AsyncSession` may be coroutine functions."""

    on_stdout: Callable[[str], Any] | None = None
    on_stderr: Callable[[str], Any] | None = None
    on_result: Callable[[Result], Any] | None = None
    on_error: Callable[[ExecutionError], Any] | None = None
    input: Callable[[Prompt], Any] | None = None

    @property
    def wants_stream(self) -> bool:
        """Whether output is wanted while the eval runs."""
        return self.on_stdout is not None or self.on_stderr is not None

    @property
    def any(self) -> bool:
        """Whether there is one at all."""
        return any((self.wants_stream, self.on_result, self.on_error, self.input))

    def on_event(self, event: Event) -> Any:
        """Call the one that the event is for; what it returned."""
        match event:
            case Stdout() if self.on_stdout is not None:
                return self.on_stdout(event.text)
            case Stderr() if self.on_stderr is not None:
                return self.on_stderr(event.text)
            case Display() if self.on_result is not None:
                return self.on_result(event.result)
            case _:
                return None

    def on_end(self, execution: Execution) -> list[Any]:
        """Call those for the value and for the exception; what they returned."""
        returned = []
        value = execution.main_result
        if value is not None and self.on_result is not None:
            returned.append(self.on_result(value))
        if execution.error is not None and self.on_error is not None:
            returned.append(self.on_error(execution.error))
        return returned

    def answer(self, event: InputRequest) -> Any:
        """The line for `input()`, or what becomes it when it is awaited."""
        return self.input(Prompt(event.prompt, event.password)) if self.input is not None else ""
