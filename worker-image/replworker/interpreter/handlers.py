"""Signal handlers of the tenant's: they run at any moment, what they raise gets through only in his own code.

In ours it would tear a frame or end the worker. So `signal.signal` puts a guard around each handler; nothing is done
for it at an eval.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
from collections.abc import Callable
from time import monotonic
from types import FrameType, ModuleType

from replwire.hints import Any, Final
from replworker.interpreter.failures import described
from replworker.interpreter.gate import Gate

TOLD_EVERY_S: Final = 1.0
"""Of what handlers raise between evals one is told in so many seconds; the others are counted."""


class Handlers:
    """Of one session. `write` puts text on its stderr."""

    def __init__(self, gate: Gate, write: Callable[[str], object]) -> None:
        self._gate = gate
        self._write = write
        self._told_at = -TOLD_EVERY_S
        self._untold = 0

    def change(self, module: ModuleType) -> None:
        """Let the module `signal` set and show handlers through us."""
        set_handler, get_handler = vars(module)["signal"], vars(module)["getsignal"]

        def signal(signalnum: Any, handler: Any) -> Any:
            return _plain(set_handler(signalnum, _Guarded(self, handler) if callable(handler) else handler))

        def getsignal(signalnum: Any) -> Any:
            return _plain(get_handler(signalnum))

        for function, original in ((signal, set_handler), (getsignal, get_handler)):
            function.__module__, function.__qualname__ = "signal", function.__name__
            function.__doc__ = original.__doc__
            setattr(module, function.__name__, function)

    def raised(self, number: int, failure: BaseException) -> None:
        """By a handler: it is raised again, at once or when our step is done, or told when the eval has ended."""
        gate = self._gate
        if gate.lets_through:
            if not gate.defers:
                raise failure
            gate.put_off(failure)
        elif number != _signal.SIGINT:
            # An interrupt that comes late is meant for nobody.
            self.tell(failure)

    def tell(self, failure: BaseException) -> None:
        """What a handler raised while no code of the tenant's ran."""
        now = monotonic()
        if now < self._told_at + TOLD_EVERY_S:
            self._untold += 1
            return
        self._told_at, untold, self._untold = now, self._untold, 0
        more = f" (and {untold} more before)" if untold else ""
        text = described(failure, interrupted=False)[1]
        self._write(f"Exception ignored in a signal handler between evals{more}:\n{text}")


class _Guarded:
    """A handler, as the signal calls it."""

    __slots__ = ("_handlers", "handler")

    def __init__(self, handlers: Handlers, handler: Callable[[int, FrameType | None], object]) -> None:
        self._handlers = handlers
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.handler(number, frame)
        except BaseException as failure:
            self._handlers.raised(number, failure)


def _plain(found: Any) -> Any:
    return found.handler if type(found) is _Guarded else found
