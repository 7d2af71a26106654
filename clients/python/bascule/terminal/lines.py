"""Lines from this process's stdin, read in a thread that nobody waits for when the program ends."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import threading
from collections.abc import Callable
from typing import TextIO

from bascule.events import InputRequest
from bascule.terminal.screen import Screen


class StandardInput:
    """Answers `input()` and `getpass()` of an eval from stdin, which may be a terminal, a file or a pipe."""

    def __init__(self, stdin: TextIO, screen: Screen) -> None:
        self._stdin = stdin
        self._screen = screen

    async def ask(self, asked: InputRequest) -> str:
        """The next line without its end. Raises `EOFError` when there is none."""
        await self._screen.write(asked.prompt)
        if asked.password and self._stdin.isatty():
            return await in_thread(lambda: getpass.getpass(""))
        line = await in_thread(self._stdin.readline)
        if not line:
            raise EOFError
        return line.removesuffix("\n")


async def in_thread(read: Callable[[], str]) -> str:
    """What it returns, or raises. A read that never ends does not keep the process."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def run() -> None:
        try:
            line = read()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            _later(loop, answer, lambda error=error: answer.set_exception(error))  # type: ignore[misc]
        else:
            _later(loop, answer, lambda: answer.set_result(line))

    threading.Thread(target=run, daemon=True).start()
    return await answer


def _later(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[str], settle: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(lambda: None if answer.done() else settle())
