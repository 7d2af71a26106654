"""Sessions as the server lists them, over HTTP: looking at them wakes none."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from bascule.rest import Json, Rest
from bascule.settings import Settings

PAGE: Final = 100
"""Sessions asked for at once."""


async def list_sessions(settings: Settings, at_most: int) -> list[Json]:
    """The tenant's own, the newest first. Raises `BasculeError`."""
    found: list[Json] = []
    cursor: str | None = None
    async with Rest(settings) as rest:
        while len(found) < at_most:
            query = {"limit": str(min(PAGE, at_most - len(found)))} | ({"cursor": cursor} if cursor else {})
            page = await rest.ask("GET", "/v1/sessions", params=query)
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
    return found


async def get_session(settings: Settings, session: str) -> Json:
    """What is known of one. Raises `NotFoundError`, `BasculeError`."""
    async with Rest(settings) as rest:
        return await rest.ask("GET", f"/v1/sessions/{quote(session, safe='')}")
