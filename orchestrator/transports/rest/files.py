"""Files of a session's working folder, as raw bytes; one that is larger than an envelope goes in parts."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from typing import Any, Final, cast

import structlog
from aiohttp import web

from orchestrator.transports.headers import put_on
from orchestrator.transports.problems import refused
from orchestrator.transports.rest.bodies import HttpFault, read_part
from orchestrator.transports.rest.call import Call, ClientGoneError, RefusedError
from orchestrator.transports.rest.queries import FolderQuery
from orchestrator.transports.rest.ranges import Expected, Span, content_digest, disposition, span_of
from orchestrator.transports.rest.routes import OCTETS
from replwire.envelopes import Json
from replwire.errors import WireError

_ETAG: Final = re.compile("[0-9a-f-]{1,80}")
_ENVELOPE_ROOM_BYTES: Final = 16 * 1024
"""Of an envelope beside a part's base64: its path and the rest."""

_log = structlog.get_logger("bascule.transport")


async def listing(call: Call) -> web.StreamResponse:
    """A folder."""
    said = await call.ask("files", {"op": "list", "path": cast(FolderQuery, call.query).folder})
    return call.answer({"items": said["entries"], "more": said["more"]})


async def delete(call: Call) -> web.StreamResponse:
    """A file or a folder."""
    await call.ask("files", {"op": "delete", "path": call.place.holes["path"]})
    return call.nothing()


def part_bytes_max(call: Call) -> int:
    """What fits into one envelope."""
    limits = call.config.limits
    return min(limits["file_bytes_max"], (limits["envelope_bytes_max"] - _ENVELOPE_ROOM_BYTES) // 4 * 3)


# --- up -------------------------------------------------------------------------------------------------------------


async def write(call: Call) -> web.StreamResponse:
    """Take a file part by part; it is there, whole, or not at all."""
    expected, path = Expected(call.request.headers.get("Content-Digest")), call.place.holes["path"]
    left, offset, said, unfinished = call.request.content_length or 0, 0, cast(Json, {}), None
    try:
        while left or not said:
            data = await read_part(call.request, min(left, part_bytes_max(call)), call.config.body_timeout_s)
            left -= len(data)
            expected.feed(data)
            if not left:
                expected.check()
            said = await call.ask_again("files", _part(path, data, offset, more=left > 0))
            unfinished, offset = said.get("unfinished"), offset + len(data)
    except BaseException:
        if isinstance(unfinished, str):
            await _forget(call, unfinished)
        raise
    return call.answer({**said, "path": path, "size": offset})


def _part(path: str, data: bytes, offset: int, *, more: bool) -> Json:
    said = {"op": "write", "path": path, "data": base64.b64encode(data).decode("ascii")}
    return {**said, "offset": offset, "more": more} if more or offset else said


async def _forget(call: Call, unfinished: str) -> None:
    """Best effort: what is left behind is begun anew by the next upload of that name."""
    with contextlib.suppress(RefusedError, ClientGoneError, WireError):
        await call.ask_again("files", {"op": "delete", "path": unfinished}, for_nobody=True)


# --- down -----------------------------------------------------------------------------------------------------------


async def read(call: Call) -> web.StreamResponse:
    """All of a file, or the part that `Range` names."""
    facts = await call.ask_again("files", {"op": "read", "path": call.place.holes["path"], "length": 0})
    size, etag = _size_of(facts), _etag_of(facts)
    headers = _headers(call, etag)
    if etag is not None and etag in _tags(call.request.headers.get("If-None-Match", "")):
        return web.Response(status=304, headers=headers)
    span = _span(call, size, etag)
    whole = span is None
    span = span or Span(0, size)
    headers["Content-Length"] = str(len(span))
    if not whole:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    response = web.StreamResponse(status=200 if whole else 206, headers=headers)
    if call.is_head:
        return await _begun(call, response)
    return await _sent(call, response, span, facts)


def _headers(call: Call, etag: str | None) -> dict[str, str]:
    found = {
        "Content-Type": OCTETS,
        "Content-Disposition": disposition(call.place.holes["path"]),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }
    return found if etag is None else {**found, "ETag": etag}


def _etag_of(facts: Json) -> str | None:
    """A worker said it: it must have the form that ours have to become part of a header."""
    text = facts.get("etag")
    return f'"{text}"' if isinstance(text, str) and _ETAG.fullmatch(text) else None


def _size_of(facts: Json) -> int:
    size = facts.get("size")
    if not isinstance(size, int) or size < 0:
        raise WireError("worker_protocol_error", "the worker sent no size")
    return size


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _span(call: Call, size: int, etag: str | None) -> Span | None:
    headers = call.request.headers
    if "If-Range" in headers and headers["If-Range"] != etag:
        return None
    try:
        return span_of(headers.get("Range"), size)
    except ValueError as error:
        said = {"Content-Range": f"bytes */{size}"}
        raise HttpFault(refused("range_not_satisfiable", str(error), headers=said)) from None


async def _sent(call: Call, response: web.StreamResponse, span: Span, facts: Json) -> web.StreamResponse:
    first = await _read_part(call, span, facts)
    if len(first) == len(span):
        digest = hashlib.sha256(first).digest()
    else:
        said = await call.ask_again("files", _of_span("digest", call, span))
        digest = _hex(said.get("sha256"))
        _same_file(said, facts)
    response.headers["Content-Digest"] = content_digest(digest)
    await _begun(call, response)
    await call.write(response, first)
    try:
        await _send_rest(call, response, Span(span.start + len(first), span.end), facts)
    except (RefusedError, WireError) as error:
        # The head is out: only an end before its time can tell the client that this is not the file.
        _log.warning("download broken off", session_id=call.session, cause=str(error))
        call.connection.force_close()
        raise ConnectionResetError("the file changed while it was sent") from None
    return response


async def _send_rest(call: Call, response: web.StreamResponse, rest: Span, facts: Json) -> None:
    while rest:
        data = await _read_part(call, rest, facts)
        await call.write(response, data)
        rest = Span(rest.start + len(data), rest.end)


async def _read_part(call: Call, rest: Span, facts: Json) -> bytes:
    if not rest:
        return b""
    part = Span(rest.start, min(rest.end, rest.start + part_bytes_max(call)))
    said = await call.ask_again("files", _of_span("read", call, part))
    _same_file(said, facts)
    try:
        data = base64.b64decode(said["data"], validate=True)
    except (binascii.Error, KeyError, TypeError, ValueError):
        raise WireError("worker_protocol_error", "the worker sent no bytes") from None
    if not 0 < len(data) <= len(part):
        raise WireError("conflict", "the file changed while it was read")
    return data


def _of_span(op: str, call: Call, span: Span) -> Json:
    return {"op": op, "path": call.place.holes["path"], "offset": span.start, "length": len(span)}


def _same_file(said: Json, facts: Json) -> None:
    if said.get("etag") != facts.get("etag") or said.get("size") != facts.get("size"):
        raise WireError("conflict", "the file changed while it was read")


def _hex(text: Any) -> bytes:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        raise WireError("worker_protocol_error", "the worker sent no digest") from None


async def _begun(call: Call, response: web.StreamResponse) -> web.StreamResponse:
    put_on(response)
    response.headers.update(call.more_headers)
    await response.prepare(call.request)
    return response
