"""One socket of the HTTP server: aiohttp's protocol, with the limits that it lacks and refusals in our own words."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_websocket import WebSocketReader
from aiohttp.web_protocol import RequestPayloadError

from orchestrator.transports.channel import Arrivals
from orchestrator.transports.headers import put_on
from orchestrator.transports.problems import problem

ADDRESS_UNKNOWN: Final = "unknown"
MASK_BIT: Final = 0x80
BROKEN_FRAME: Final = b"\xf0\x80\x00\x00\x00\x00"
"""Reserved bits: what aiohttp answers with close 1002."""

_log = structlog.get_logger("bascule.transport")


class Places:
    """Sockets that are open, in all and by address."""

    def __init__(self, total_max: int, per_address_max: int, *, is_shared: Callable[[str], bool] | None = None) -> None:
        """`is_shared`: whether many clients come from an address, so that only the total counts for it."""
        self._is_shared = is_shared or (lambda _: False)
        self._total_max = total_max
        self._per_address_max = per_address_max
        self._total = 0
        self._by_address: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Count one more; whether there was room for it. `release` it in any case."""
        self._total += 1
        self._by_address[address] += 1
        in_bounds = self._by_address[address] <= self._per_address_max or self._is_shared(address)
        return in_bounds and self._total <= self._total_max

    def release(self, address: str) -> None:
        """It is closed."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def _nothing() -> None:
    """Nobody waits."""


class Connection(web.RequestHandler):
    """Counts what arrives; says no without repeating, to the client or to the log, what a stranger sent."""

    __slots__ = ("_address", "_opening", "_places", "_response_timeout_s", "arrivals", "on_gone")

    def __init__(self, manager: web.Server, *, places: Places, response_timeout_s: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self.arrivals = Arrivals()
        self.on_gone: Callable[[], None] = _nothing
        """Called when the client has gone; a request that waits for something sets it."""
        self._places = places
        self._address: str | None = None
        self._response_timeout_s = response_timeout_s
        self._opening: bytes | None = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._address = str((transport.get_extra_info("peername") or (ADDRESS_UNKNOWN,))[0])
        if not self._places.take(self._address):
            cast(asyncio.Transport, transport).abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._address is not None:
            self._places.release(self._address)
            self._address = None
            self.on_gone()

    # --- in -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.arrivals.chunks += 1
        if self._opening is not None and self._payload_parser is not None:
            data = self._first_frame(data)
        super().data_received(data)

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """From now on what comes are frames; some may have come already."""
        if self._message_tail:
            self._message_tail = self._first_frame(self._message_tail)
        super().set_parser(parser, data_received_cb)

    def _first_frame(self, data: bytes) -> bytes:
        """A client that does not mask is refused (RFC 6455, section 5.1), which aiohttp leaves out. Its first frame
        tells: the mask protects proxies from its own scripts, so there is nothing to win by stopping later."""
        assert self._opening is not None
        opening = self._opening + data
        if len(opening) < 2:
            self._opening = opening
            return b""
        self._opening = None
        return opening if opening[1] & MASK_BIT else BROKEN_FRAME

    # --- out ----------------------------------------------------------------------------------------------------

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send it; a client that asks and does not read is dropped in time. A WebSocket has its own limits."""
        if isinstance(resp, web.WebSocketResponse):
            return await super().finish_response(request, resp, start_time)
        try:
            async with asyncio.timeout(self._response_timeout_s):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            _log.info("client lost", cause="it does not read its responses", address=request.remote)
            if self.transport is not None:
                self.transport.abort()
            return resp, True

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The response to what is no request, and to a request that we failed."""
        if status < 500:
            _log.info("request refused", address=request.remote, cause=type(exc).__name__)
            response = problem(status, "bad_request", "this is no HTTP/1.1 request that is served here")
        else:
            _log.error("request failed", address=request.remote, exc_info=exc)
            response = problem(status, "internal", "something went wrong on our side")
        if request.writer.output_size > 0:
            raise ConnectionError("a response is under way")
        put_on(response)
        response.force_close()
        return response

    def log_exception(self, *args: Any, exc_info: BaseException | None = None, **more: Any) -> None:
        """What aiohttp caught outside of a handler: a stranger's broken body is no event of ours."""
        if isinstance(exc_info, HttpProcessingError | RequestPayloadError):
            _log.info("request refused", cause=type(exc_info).__name__)
        else:
            _log.error("connection failed", exc_info=exc_info)
