"""An event loop in a thread of its own, so that code without asyncio can use code that has it.

It works inside a notebook, whose thread has a running loop already, and from several threads at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Returned = TypeVar("Returned")


class BackgroundLoop:
    """Starts with the first call; over with `stop`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def call(self, work: Coroutine[Any, Any, Returned], timeout: float | None = None) -> Returned:
        """Run it there and wait here. What interrupts the wait (Ctrl-C, the time-out) cancels it there."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called from a callback on the client's own thread, which would wait for itself")
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise RuntimeError("the client was closed") from None
        finally:
            future.cancel()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="bascule-client", daemon=True)
                self._thread.start()
            return self._loop

    def stop(self) -> None:
        """Cancel what is left and end the thread; a later call starts another one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
