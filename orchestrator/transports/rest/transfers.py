"""Sessions as files: sent out a piece at a time, and taken in likewise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import web

from orchestrator.transports.headers import put_on
from orchestrator.transports.rest.bodies import read_part
from orchestrator.transports.rest.call import Call
from orchestrator.transports.rest.ranges import Expected, disposition
from orchestrator.transports.rest.routes import OCTETS
from orchestrator.transports.rest.sessions import located, other_body
from replwire.errors import WireError

PART_BYTES: Final = 256 * 1024
"""Of a file that comes, read at once."""

FILE_NAME: Final = "{}.bascule"

_log = structlog.get_logger("bascule.transport")


async def export(call: Call) -> web.StreamResponse:
    """The file. What goes wrong after its first byte can only break it off: it ends without its last segment."""
    pieces = await call.host.transfers.export(call.principal, call.session)
    headers = {
        "Content-Type": OCTETS,
        "Content-Disposition": disposition(FILE_NAME.format(call.session)),
        "Cache-Control": "no-store",
    }
    response = web.StreamResponse(status=200, headers=headers)
    put_on(response)
    response.headers.update(call.more_headers)
    if not call.is_head:
        await _send(call, response, pieces)
    else:
        await response.prepare(call.request)
    return response


async def _send(call: Call, response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    first = await anext(pieces)
    await response.prepare(call.request)
    await call.write(response, first)
    try:
        async for piece in pieces:
            if piece:
                await call.write(response, piece)
    except WireError as error:
        _log.warning("export broken off", session_id=call.session, cause=str(error))
        call.connection.force_close()
        raise ConnectionResetError("the session could not be read to its end") from None


async def import_(call: Call) -> web.StreamResponse:
    """Take a file; the same key with the same file is the same session."""
    try:
        said = await call.host.transfers.import_(call.principal, call.id, _parts(call))
    except WireError as error:
        if error.code != "conflict":
            raise
        raise other_body() from None
    return located(call, said)


async def _parts(call: Call) -> AsyncIterator[bytes]:
    expected = Expected(call.request.headers.get("Content-Digest"))
    left = call.request.content_length or 0
    while left:
        data = await read_part(call.request, min(left, PART_BYTES), call.config.body_timeout_s)
        left -= len(data)
        expected.feed(data)
        yield data
    expected.check()
