"""Read, evaluate, print, until Ctrl-D."""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial
from typing import Final

from bascule.async_client import AsyncClient
from bascule.async_session import AsyncSession
from bascule.errors import AuthenticationError, BasculeError, NotFoundError, SessionError
from bascule.execution import Execution
from bascule.terminal.colon import HELP, Commands, Wrong
from bascule.terminal.history import open_history
from bascule.terminal.notices import Notices, names_of
from bascule.terminal.prompt import Prompt, above_prompt, refresh_prompt
from bascule.terminal.running import GivenUp, Runner
from bascule.terminal.screen import Screen
from replwire.errors import ERROR_CODES

HINT: Final = "Ctrl-C interrupts, Ctrl-D ends, :help lists more"


class Repl:
    """One session on one terminal."""

    def __init__(self, session: AsyncSession, screen: Screen, notices: Notices, server: str) -> None:
        self._session = session
        self._screen = screen
        history, self._complaint = open_history()
        self._prompt = Prompt(session, HELP, history, lambda: notices.is_away)
        self._runner = Runner(session, screen, self._prompt.ask)
        self._commands = Commands(session, screen, server, self._evaluate)
        self._unsaved: dict[str, str] = {}

    async def run(self) -> bool:
        """Until it is left; whether the session is to go on. Raises `BasculeError` when it cannot."""
        await self._screen.tell(f"session {self._session.id}; {HINT}")
        if self._complaint:
            await self._screen.tell(self._complaint)
        while self._commands.leaving is None:
            try:
                await self._interruptible(await self._prompt.read())
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
        return self._commands.leaving == "detach"

    async def _interruptible(self, text: str) -> None:
        """Ctrl-C goes to the eval that runs, or ends the command that waits."""
        doing = asyncio.create_task(self._do(text))
        was_pressed = False

        def pressed() -> None:
            nonlocal was_pressed
            was_pressed = not self._runner.interrupt()
            if was_pressed:
                doing.cancel()

        # Each prompt takes the handler away when it ends.
        listen = partial(asyncio.get_running_loop().add_signal_handler, signal.SIGINT, pressed)
        self._runner.listen = listen
        listen()
        try:
            await doing
        except asyncio.CancelledError:
            doing.cancel()
            if not was_pressed:
                raise
            await self._screen.tell("not waiting any longer")

    async def _do(self, text: str) -> None:
        try:
            if text.lstrip().startswith(":"):
                await self._commands.carry_out(text)
            elif text.strip():
                await self._evaluate(text)
        except (Wrong, GivenUp) as error:
            await self._screen.tell(str(error))
        except (AuthenticationError, NotFoundError, SessionError) as error:
            if isinstance(error, NotFoundError) and text.lstrip().startswith(":"):
                await self._screen.tell(str(error))
                return
            raise
        except BasculeError as error:
            await self._screen.tell(words_of(error))

    async def _evaluate(self, code: str) -> None:
        await self._show(await self._runner.run(code))

    async def _show(self, done: Execution) -> None:
        if done.text is not None:
            await self._screen.line(done.text)
        await self._screen.finish()
        await self._runner.show_pictures(done.main_result)
        if done.receipt.truncated:
            await self._screen.tell(f"{done.receipt.truncated} bytes of output were cut")
        if done.unsaved != self._unsaved and done.unsaved:
            await self._screen.tell(f"would not survive the worker: {names_of(done.unsaved)}")
        self._unsaved = done.unsaved


def words_of(error: BasculeError) -> str:
    """What went wrong, and how the session stands after it."""
    row = ERROR_CODES.get(error.code)
    state = f"; session: {row.state}" if row is not None and row.state != "unchanged" else ""
    return f"{error}{state}"


async def run_repl(
    client: AsyncClient, *, session: str | None = None, name: str | None = None, is_last: bool = False
) -> None:
    """A prompt on this process's terminal, in a new session or in one that is there. Raises `BasculeError`.

    `is_last`: the server ends after it, so that nobody can come back.
    """
    screen = Screen(sys.stdout, sys.stderr, above=above_prompt)
    notices = Notices(screen, refresh_prompt)
    opening = (
        client.open(name=name, on_event=notices.hear) if session is None
        else client.attach(session, on_event=notices.hear)
    )  # fmt: skip
    telling = asyncio.create_task(notices.tell())
    try:
        async with opening as opened:
            is_left = await Repl(opened, screen, notices, client.settings.url).run()
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
            if is_left:
                await opened.detach()
            if (is_left or session is not None) and not is_last:
                await screen.tell(f"the session goes on; come back with: bascule repl --session {opened.id}")
    finally:
        telling.cancel()
