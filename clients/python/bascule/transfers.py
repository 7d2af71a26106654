"""Sessions as files: fetched from a server, and given to one. Only the operators of servers can open them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import aiohttp

from bascule.answers import Copied, answer_of
from bascule.rest import Rest, body_of, refusal
from bascule.settings import Settings

PIECE_BYTES: Final = 256 * 1024
PART_SUFFIX: Final = ".part"
"""Of a file that has not come to its end."""


async def export_session(settings: Settings, tls: ssl.SSLContext | None, session: str, path: Path) -> int:
    """Fetch a session as a file; how many bytes it has. The file is there when it is whole. Raises `BasculeError`."""
    aside = path.with_name(path.name + PART_SUFFIX)
    try:
        async with Rest(settings, tls) as rest:
            size_bytes = await _fetched(rest, session, aside)
        await asyncio.to_thread(aside.replace, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    return size_bytes


async def _fetched(rest: Rest, session: str, path: Path) -> int:
    size_bytes = 0
    try:
        async with rest.request("GET", f"/v1/sessions/{quote(session, safe='')}/export") as response:
            if not response.ok:
                raise refusal(response, await body_of(response))
            with path.open("wb") as file:
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    await asyncio.to_thread(file.write, piece)
                    size_bytes += len(piece)
    except aiohttp.ClientError as error:
        raise rest.unreachable(error) from error
    return size_bytes


async def import_session(settings: Settings, tls: ssl.SSLContext | None, path: Path) -> Copied:
    """Give a file to the server; the session that it became. Raises `BasculeError`, `OSError`."""
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(path.stat().st_size),
        "Idempotency-Key": str(uuid.uuid4()),
    }
    with path.open("rb") as file:
        async with Rest(settings, tls) as rest:
            said = await rest.ask("POST", "/v1/sessions/import", data=_pieces(file), headers=headers)
    return answer_of(Copied, said)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece
