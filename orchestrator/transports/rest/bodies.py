"""Bodies of requests: their length is known before they are read, and they come in time or not at all."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from orchestrator.transports.problems import refused
from orchestrator.transports.rest.routes import JSON, Route
from replwire.envelopes import Json, decode_object
from replwire.errors import WireError
from replwire.limits import LIMITS

JSON_DEPTH_MAX: Final = LIMITS["depth_max"].default
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpFault(Exception):
    """What only HTTP can be wrong about: the response to send."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


def fault(code: str, detail: str) -> HttpFault:
    """With the problem of this code."""
    return HttpFault(refused(code, detail))


def check_body(request: web.BaseRequest, route: Route, bytes_max: int) -> None:
    """Refuse by its head a body that would be; raises `HttpFault` or `WireError`."""
    if not request.body_exists:
        if route.takes_file and request.content_length is None:
            raise fault("length_required", "send a Content-Length")
        return
    if not route.takes_body:
        raise WireError("too_large", "a request here has no body")
    if request.content_length is None:
        raise fault("length_required", "send a Content-Length: a body of unknown length is not read")
    if request.content_length > bytes_max:
        limit = route.takes_file or "envelope_bytes_max"
        raise WireError("too_large", f"the body is over {bytes_max} bytes", limit=limit)
    if not route.takes_file and request.content_type != JSON:
        raise fault("unsupported_media_type", f"a body here is {JSON}")


async def read_object(request: web.BaseRequest, timeout_s: float) -> Json:
    """The JSON object of a body that was checked; one without bytes is an empty object."""
    data = await read_part(request, request.content_length or 0, timeout_s)
    if not data:
        return {}
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("bad_message", "the body is not UTF-8") from None
    return decode_object(text, depth_max=JSON_DEPTH_MAX)


async def read_part(request: web.BaseRequest, count_bytes: int, timeout_s: float) -> bytes:
    """The next bytes of a body; raises `HttpFault` when they do not come in time, `ConnectionError` when never."""
    if not count_bytes:
        return b""
    await _tell_to_go_on(request)
    try:
        async with asyncio.timeout(timeout_s):
            return await request.content.readexactly(count_bytes)
    except TimeoutError:
        raise fault("request_timeout", f"the body did not come within {timeout_s:g} s") from None
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the body ended early") from None


async def _tell_to_go_on(request: web.BaseRequest) -> None:
    """A client that asks first is told that its body is wanted (RFC 9110, section 10.1.1), once."""
    waits = request.headers.get("Expect", "").lower() == "100-continue"
    if waits and not request.writer.output_size and not request.content.total_bytes:
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0
