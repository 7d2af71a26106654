"""The line that is typed: history, highlighting, several lines, completion, and the answers to `input()`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none, run_in_terminal
from prompt_toolkit.formatted_text import ANSI, AnyFormattedText
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.styles import Style
from pygments.lexers.python import PythonLexer

from bascule.async_session import AsyncSession
from bascule.events import InputRequest
from bascule.terminal.completing import Signature, WireCompleter
from bascule.terminal.escapes import safe
from bascule.terminal.keys import Enter

FIRST: Final = ">>> "
NEXT: Final = "... "
AWAY: Final = "reconnecting…"

_STYLE: Final = Style.from_dict({"bottom-toolbar": "noreverse", "prompt": "bold"})


class Prompt:
    """Of one session."""

    def __init__(
        self, session: AsyncSession, commands: Iterable[str], history: History, is_away: Callable[[], bool]
    ) -> None:
        self._is_away = is_away
        self._signature = Signature(session)
        self._lines: PromptSession[str] = PromptSession(
            history=history, lexer=PygmentsLexer(PythonLexer), completer=WireCompleter(session, commands),
            complete_while_typing=False, key_bindings=Enter(session).bindings(), multiline=True, style=_STYLE,
            prompt_continuation=NEXT, bottom_toolbar=self._toolbar, enable_open_in_editor=True, enable_suspend=True,
        )  # fmt: skip
        self._signature.follow(self._lines.default_buffer)

    async def read(self) -> str:
        """One input. Raises `EOFError` after Ctrl-D and `KeyboardInterrupt` after Ctrl-C."""
        self._signature.forget()
        try:
            return await self._lines.prompt_async([("class:prompt", FIRST)])
        finally:
            self._signature.forget()

    def _toolbar(self) -> AnyFormattedText:
        return [("", AWAY if self._is_away() else self._signature.text)]

    async def ask(self, asked: InputRequest) -> str:
        """The answer to `input()` or `getpass()`; not kept in the history. Raises as `read` does."""
        line: PromptSession[str] = PromptSession(history=InMemoryHistory())
        return await line.prompt_async(ANSI(safe(asked.prompt)), is_password=asked.password)


def refresh_prompt() -> bool:
    """Draw what is being typed, and the line below it, anew. False when nothing is."""
    app = get_app_or_none()
    if app is None or not app.is_running:
        return False
    app.invalidate()
    return True


async def above_prompt(write: Callable[[], None]) -> None:
    """Write now, or above the line that is being typed."""
    if refresh_prompt():
        await asyncio.shield(asyncio.ensure_future(run_in_terminal(write)))
    else:
        write()
