"""Enter asks the session whether the input is whole. Keys that are pressed meanwhile wait, and none is lost."""

from __future__ import annotations

import asyncio
from typing import Final

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, completion_is_selected
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys

from bascule.answers import Completeness
from bascule.async_session import AsyncSession
from bascule.errors import BasculeError

ANSWER_PATIENCE_S: Final = 1.0
"""How long Enter waits for the session's opinion; then the input is taken as it is, and an error will say the rest."""

WHOLE: Final = Completeness("complete")


class Enter:
    """The bindings of one prompt."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._asking: asyncio.Task[None] | None = None
        self._held: list[KeyPress] = []

    def bindings(self) -> KeyBindings:
        """Enter, Alt-Enter (a line end in any case), Tab at the beginning of a line, and any key while Enter waits."""
        made = KeyBindings()
        made.add(Keys.Enter, filter=~completion_is_selected)(self._enter)
        made.add(Keys.Escape, Keys.Enter)(_new_line)
        made.add(Keys.Tab, filter=Condition(_is_at_indent))(_indent)
        made.add(Keys.Any, filter=Condition(lambda: self._asking is not None), eager=True)(self._hold)
        return made

    def _enter(self, event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if not buffer.text.strip() or buffer.text.lstrip().startswith(":"):
            buffer.validate_and_handle()
            return
        self._asking = event.app.create_background_task(self._decide(event.app, buffer))

    def _hold(self, event: KeyPressEvent) -> None:
        if event.key_sequence[0].key != Keys.ControlC:
            self._held += event.key_sequence
        elif self._asking is not None:
            self._asking.cancel()

    async def _decide(self, app: Application[str], buffer: Buffer) -> None:
        try:
            # The indent of an empty last line is ours, and an empty line ends a block.
            answer = await self._opinion(buffer.text.rstrip(" \t"))
            if answer.status == "incomplete" or not buffer.document.is_cursor_at_the_end:
                buffer.insert_text("\n" + answer.indent)
            else:
                buffer.validate_and_handle()
        finally:
            self._asking = None
            held, self._held = self._held, []
            app.key_processor.feed_multiple(held)
            app.key_processor.process_keys()

    async def _opinion(self, text: str) -> Completeness:
        try:
            async with asyncio.timeout(ANSWER_PATIENCE_S):
                return await self._session.is_complete(text)
        except (BasculeError, TimeoutError):
            return WHOLE


def _new_line(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("\n")


def _is_at_indent() -> bool:
    return not get_app().current_buffer.document.current_line_before_cursor.strip()


def _indent(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("    ")
