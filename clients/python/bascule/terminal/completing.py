"""Completion and signatures over the wire. Typing never waits for them: a late answer is thrown away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterable
from typing import Final, TypeVar

from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from bascule.async_session import AsyncSession
from bascule.errors import BasculeError
from bascule.terminal.escapes import one_line

PATIENCE_S: Final = 2.0
"""How long an answer is waited for."""
PAUSE_S: Final = 0.15
"""How long nothing must be typed before a signature is asked for."""
SIGNATURE_CHARS_MAX: Final = 300

Answer = TypeVar("Answer")


class WireCompleter(Completer):
    """Asks the session when Tab is pressed; `:` commands are known here."""

    def __init__(self, session: AsyncSession, commands: Iterable[str]) -> None:
        self._session = session
        self._commands = sorted(commands)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Of commands only: the session is asked in the other way."""
        typed = document.text_before_cursor
        return [Completion(name, -len(typed)) for name in self._commands if name.startswith(typed)]

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """What may stand at the cursor."""
        if document.text.startswith(":"):
            for command in self.get_completions(document, complete_event):
                yield command
            return
        place = document.cursor_position
        for match in await _in_time(self._session.complete(document.text, place)) or ():
            # A name with a line end or an escape in it is nothing to type.
            if match.text == one_line(match.text):
                yield Completion(match.text, match.start - place, display_meta=one_line(match.kind))


class Signature:
    """Of the call that the cursor is in, for the line below the prompt."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self.text = ""

    def follow(self, buffer: Buffer) -> None:
        """Look again whenever the text or the cursor has moved."""
        buffer.on_text_changed += self._changed
        buffer.on_cursor_position_changed += self._changed

    def forget(self) -> None:
        """A new input begins."""
        self.text = ""
        if self._task is not None:
            self._task.cancel()

    def _changed(self, buffer: Buffer) -> None:
        self.forget()
        place = call_around(buffer.document.text_before_cursor)
        if place is not None and get_app_or_none() is not None:
            self._task = asyncio.get_running_loop().create_task(self._look(buffer.text, place))

    async def _look(self, text: str, place: int) -> None:
        await asyncio.sleep(PAUSE_S)
        found = await _in_time(self._session.inspect(text, place))
        if found is not None and found.signature:
            self.text = one_line(found.signature)[:SIGNATURE_CHARS_MAX]
            if (app := get_app_or_none()) is not None:
                app.invalidate()


def call_around(before: str) -> int | None:
    """Where the name ends whose call is still open at the end of the text."""
    depth = 0
    for place in range(len(before) - 1, -1, -1):
        if before[place] in ")]}":
            depth += 1
        elif before[place] in "([{":
            depth -= 1
            if depth < 0 and before[place] == "(":
                return place if before[:place][-1:].isidentifier() or before[:place][-1:].isdigit() else None
    return None


async def _in_time(asked: Awaitable[Answer]) -> Answer | None:
    with contextlib.suppress(BasculeError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            return await asked
    return None
