"""Top-level `await`: one event loop for all evals, so that tasks of earlier ones go on while a later one awaits."""

from __future__ import annotations

from _contextvars import Context
from collections.abc import Coroutine

from replwire.hints import Any


class SessionLoop:
    """The loop that evals await in: the tenant's current one if he has set or used one, else one of ours.

    `asyncio.run` leaves no current loop behind; then the one before is current again at the next `await`.
    """

    def __init__(self) -> None:
        self._loop: Any = None

    def run(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
        """Its value. An interrupt cancels it; `KeyboardInterrupt` then tells where it was awaiting.

        `context` is the one that it runs in, not a copy; the caller must be outside of it.
        """
        import asyncio

        loop = self._current(asyncio)
        task = loop.create_task(coroutine, context=context)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            # Raised in the coroutine itself: it has ended, and the loop would not stop for it again.
            if task.done():
                raise
            task.cancel()
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError as cancelled:
            raise KeyboardInterrupt().with_traceback(cancelled.__traceback__) from None

    def take_over(self) -> None:
        """In a fork: our loop has lost its descriptors, and what waited in it; the next `await` finds a new one."""
        if self._loop is None:
            return
        try:
            self._loop.close()
        except Exception:
            pass

    def _current(self, asyncio: Any) -> Any:
        for loop in (_loop_of(asyncio, is_first=self._loop is None), self._loop):
            if loop is not None and not loop.is_closed():
                break
        else:
            loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        return loop


def _loop_of(asyncio: Any, *, is_first: bool) -> Any:
    """The current loop; None when there is none. Before the first `set_event_loop` Python may make one, and warn."""
    import warnings

    try:
        if not is_first:
            return asyncio.get_event_loop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return asyncio.get_event_loop()
    except RuntimeError:
        return None
