"""What is done to the states of a session over HTTP: none of it wakes the session."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

from bascule.rest import Json, Rest
from bascule.settings import Settings


async def rewind(settings: Settings, session: str, seq: int) -> Json:
    """Go back to a kept state. Raises `NotFoundError`, `BasculeError`."""
    return await _post(settings, session, "rewind", {"seq": seq})


async def fork(settings: Settings, session: str, seq: int | None, name: str | None) -> Json:
    """A new session that begins with a kept state. Raises `NotFoundError`, `BasculeError`."""
    return await _post(settings, session, "fork", {"seq": seq, "name": name})


async def pin(settings: Settings, session: str, name: str, seq: int | None) -> Json:
    """Keep a state under a name. Raises `NotFoundError`, `BasculeError`."""
    async with Rest(settings) as rest:
        return await rest.ask("PUT", _place(session, f"pins/{quote(name, safe='')}"), json=_given({"seq": seq}))


async def unpin(settings: Settings, session: str, name: str) -> None:
    """Let go of a name. Raises `NotFoundError`, `BasculeError`."""
    async with Rest(settings) as rest:
        await rest.ask("DELETE", _place(session, f"pins/{quote(name, safe='')}"))


async def pins(settings: Settings, session: str) -> Json:
    """`items` (those with a name) and `states`. Raises `BasculeError`."""
    async with Rest(settings) as rest:
        return await rest.ask("GET", _place(session, "pins"))


async def _post(settings: Settings, session: str, what: str, body: dict[str, Any]) -> Json:
    async with Rest(settings) as rest:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return await rest.ask("POST", _place(session, what), json=_given(body), headers=headers)


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _place(session: str, what: str) -> str:
    return f"/v1/sessions/{quote(session, safe='')}/{what}"
