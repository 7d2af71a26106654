"""What happens to the session itself, in one line each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bascule.events import Disconnected, Event, GoingAway, Reconnected, RolledBack, Status
from bascule.terminal.screen import Screen

NAMES_SHOWN_MAX: Final = 10
"""Of names that were not kept, in one line."""


class Notices:
    """Hears every event of a session, and tells those that people should know of."""

    def __init__(self, screen: Screen, refresh: Callable[[], bool] = lambda: False) -> None:
        """`refresh` draws the prompt anew, which shows whether the connection is lost; False when there is none."""
        self._screen = screen
        self._refresh = refresh
        self._waiting: asyncio.Queue[Event] = asyncio.Queue()
        self.is_away = False
        """Whether the connection is lost now."""

    def hear(self, event: Event) -> None:
        """The session's `on_event`: it must not block."""
        if isinstance(event, Disconnected | Reconnected):
            self.is_away = isinstance(event, Disconnected)
        if isinstance(event, Disconnected | Reconnected | RolledBack | GoingAway | Status):
            self._waiting.put_nowait(event)

    async def tell(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._tell(await self._waiting.get())

    async def _tell(self, event: Event) -> None:
        match event:
            case Disconnected() if self._refresh():
                pass
            case Disconnected():
                await self._screen.tell(f"connection lost ({event.reason}); reconnecting…", more_follows=True)
            case Reconnected():
                await self._screen.tell(f"reconnected after {event.seconds:.1f} s")
            case RolledBack():
                await self._screen.tell(f"rolled back to eval {event.to}: {event.cause}")
            case Status(status="restoring", cause=cause) if cause:
                await self._screen.tell(f"restoring: {cause}")
            case Status() if event.unsaved:
                await self._screen.tell(f"could not be brought back: {names_of(event.unsaved)}")
            case _:
                pass


def names_of(unsaved: dict[str, str]) -> str:
    """`a (why), b (why)`."""
    shown = [f"{name} ({reason})" for name, reason in list(unsaved.items())[:NAMES_SHOWN_MAX]]
    more = len(unsaved) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
