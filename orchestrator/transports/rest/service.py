"""The REST transport: finds the route, lets the client in, counts it, calls the operation, and says how it ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from aiohttp import web

from orchestrator.core.rates import Grant, Rate, RateLimiter
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.admission import Admission, Guest, Refusal
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.connection import Connection
from orchestrator.transports.problems import INCIDENT, problem_for, problem_of, refused
from orchestrator.transports.rest import evals, files, sessions, states, transfers
from orchestrator.transports.rest.accept import accepted
from orchestrator.transports.rest.bodies import HttpFault, check_body
from orchestrator.transports.rest.call import Call, ClientGoneError, RefusedError
from orchestrator.transports.rest.cors import cors_headers, options
from orchestrator.transports.rest.host import RestHost
from orchestrator.transports.rest.keys import key_of
from orchestrator.transports.rest.openapi import document_text
from orchestrator.transports.rest.queries import read_query
from orchestrator.transports.rest.routes import JSON, Place, Route
from replwire.errors import WireError

OPERATIONS: Final[Mapping[str, Callable[[Call], Awaitable[web.StreamResponse]]]] = {
    "listSessions": sessions.page,
    "openSession": sessions.open_,
    "getSession": sessions.look,
    "closeSession": sessions.close,
    "runEval": evals.run,
    "getEval": evals.outcome,
    "listenToEvents": evals.listen,
    "interruptEval": evals.pass_on,
    "cancelRequest": evals.pass_on,
    "answerInput": evals.pass_on,
    "completeCode": evals.pass_on,
    "inspectCode": evals.pass_on,
    "isComplete": evals.pass_on,
    "listVariables": sessions.variables,
    "readHistory": sessions.history,
    "rewindSession": states.rewind,
    "forkSession": states.fork,
    "listPins": states.pins,
    "pinState": states.pin,
    "unpinState": states.unpin,
    "exportSession": transfers.export,
    "importSession": transfers.import_,
    "listFiles": files.listing,
    "readFile": files.read,
    "writeFile": files.write,
    "deleteFile": files.delete,
}
"""By the name of the route."""

CLIENT_GONE: Final = 499
"""In logs and metrics: nobody was there to answer."""

_log = structlog.get_logger("bascule.transport")


class RestTransport:
    """All REST requests of a server."""

    def __init__(self, host: RestHost, admission: Admission, config: HttpConfig, metrics: Metrics) -> None:
        self._host = host
        self._admission = admission
        self._config = config
        self._metrics = metrics
        self._rates = RateLimiter(Rate(config.requests_per_s_max, config.request_burst_max))

    async def serve(self, request: web.BaseRequest, place: Place, connection: Connection) -> web.StreamResponse:
        """Answer a request at an address of ours."""
        began, common = time.monotonic(), cors_headers(request, self._config.origins)
        response, status = None, 500
        try:
            response = await self._answer(request, place, connection, common)
            status = response.status
        except ConnectionError:
            status = CLIENT_GONE
            raise
        finally:
            connection.on_gone = _nothing
            self._count(request, place, status, response, time.monotonic() - began)
        if not response.prepared:
            response.headers.update(common)
            if request.body_exists and not request.content.at_eof():
                # What is left of the body is not read as a request.
                response.force_close()
        return response

    def _count(
        self, request: web.BaseRequest, place: Place, status: int, response: web.StreamResponse | None, seconds: float
    ) -> None:
        known = place.route(request.method) is not None or request.method == "OPTIONS"
        method = request.method if known else "other"
        self._metrics.http_requests.labels(method, place.template, str(status)).inc()
        self._metrics.http_seconds.labels(place.template).observe(seconds)
        more = {"incident": response[INCIDENT]} if response is not None and INCIDENT in response else {}
        if "session" in place.holes:
            more["session_id"] = place.holes["session"]
        _log.info(
            "request served", method=method, route=place.template, status=status, seconds=round(seconds, 4),
            address=request.remote, **more,
        )  # fmt: skip

    async def _answer(
        self, request: web.BaseRequest, place: Place, connection: Connection, common: dict[str, str]
    ) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return options(request, place, self._config.origins)
        route = place.route(request.method)
        if route is None:
            allowed = {"Allow": ", ".join(place.methods)}
            return refused("method_not_allowed", "this method is not served here", headers=allowed)
        if "Content-Encoding" in request.headers:
            return refused("unsupported_encoding", "no content encoding is served")
        try:
            if route.is_public:
                return web.Response(text=document_text(), content_type=JSON, headers={"Cache-Control": "no-cache"})
            async with self._admission.enter(request, by_ticket=False) as guest:
                return await self._admitted(request, route, place, connection, guest, common)
        except Refusal as refusal:
            return refusal.response
        except HttpFault as found:
            return found.response
        except RefusedError as error:
            return problem_of(error.payload)
        except WireError as error:
            return problem_for(error)
        except ClientGoneError:
            raise ConnectionResetError("the client has gone") from None

    async def _admitted(
        self, request: web.BaseRequest, route: Route, place: Place, connection: Connection, guest: Guest,
        common: dict[str, str],
    ) -> web.StreamResponse:  # fmt: skip
        principal = guest.principal
        structlog.contextvars.bind_contextvars(principal=principal.name)
        common.update(self._counted(principal.name))
        kind = accepted(request.headers.get("Accept"), route.produces)
        query, key = read_query(route.query, request.url), key_of(request, route)
        channel = self._config.channel
        check_body(request, route, self._config.bytes_max(route.takes_file) or channel.envelope_bytes_max)
        call = Call(
            request, connection, self._host, self._config, route, place, query, principal, kind,
            is_valid=lambda: self._admission.still_valid(guest), more_headers=common,
        )  # fmt: skip
        if key is not None:
            call.id = key
        structlog.contextvars.bind_contextvars(request_id=call.id)
        return await OPERATIONS[route.name](call)

    def _counted(self, principal: str) -> dict[str, str]:
        """The fields that tell a principal what it may still ask; raises `rate_limited` beyond it."""
        grant = self._rates.take(principal, time.monotonic())
        fields = rate_fields(grant, self._config)
        if grant.wait_s:
            wait_ms = int(grant.wait_s * 1000) + 1
            error = WireError("rate_limited", "too many requests in a short time", retry_after_ms=wait_ms,
                              limit="requests_per_s_max")  # fmt: skip
            response = problem_for(error)
            response.headers.update(fields)
            raise HttpFault(response)
        return fields


def rate_fields(grant: Grant, config: HttpConfig) -> dict[str, str]:
    """RateLimit and RateLimit-Policy as the IETF's draft has them."""
    window_s = max(1, round(config.request_burst_max / config.requests_per_s_max))
    return {
        "RateLimit-Policy": f'"requests";q={config.request_burst_max};w={window_s}',
        "RateLimit": f'"requests";r={grant.left};t={max(0, round(grant.full_in_s))}',
    }


def _nothing() -> None:
    """Nobody waits any more."""
