"""The HTTP server: sockets, addresses, and what is common to all requests. aiohttp does the protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog
from aiohttp import web

from orchestrator.core.hosts import is_loopback
from orchestrator.ports import Authenticator, TicketOffice
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports import health, tickets
from orchestrator.transports.addresses import Addresses, is_passed_on
from orchestrator.transports.admission import Admission, Refusal
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.connection import Connection, Places
from orchestrator.transports.headers import put_on, refused_head
from orchestrator.transports.health import Health
from orchestrator.transports.listening import forget_the_vanished, listen
from orchestrator.transports.problems import problem
from orchestrator.transports.proving import Prover
from orchestrator.transports.rest.host import RestHost
from orchestrator.transports.rest.routes import find_place
from orchestrator.transports.rest.service import RestTransport
from orchestrator.transports.tickets import TicketDesk
from orchestrator.transports.websocket import Host, WebSocketTransport, session_of

HEADER_LINE_BYTES_MAX: Final = 8190
LINGERING_S: Final = 1.0
"""For a client to stop sending what was refused, so that it can read why."""
SHUTDOWN_TIMEOUT_S: Final = 2.0
"""For requests that still run when the server ends."""

_log = structlog.get_logger("bascule.transport")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Server(web.Server):
    def __init__(self, handler: Handler, config: HttpConfig) -> None:
        super().__init__(handler)
        spare = config.sockets_spare_max
        per_address_max = config.connections_per_address_max + (spare + 1) // 2
        addresses = Addresses(config.trusted_proxies)
        places = Places(config.connections_max + spare, per_address_max, is_shared=addresses.is_proxy)
        # aiohttp looks at this time-out from the moment a socket is accepted, so it bounds the handshake as well.
        self._options: dict[str, Any] = {
            "places": places,
            "keepalive_timeout": config.handshake_timeout_s,
            "access_log": None,
            "logger": _log,
            "max_line_size": HEADER_LINE_BYTES_MAX,
            "max_field_size": HEADER_LINE_BYTES_MAX,
            "response_timeout_s": config.channel.slow_client_timeout_s,
            # A body that is packed is refused, not looked into.
            "auto_decompress": False,
            "lingering_time": LINGERING_S,
        }

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)


class Engine(Host, RestHost, Protocol):
    """What is behind this door."""


class HttpServer:
    """Serves WebSockets, REST, health and metrics for one engine."""

    def __init__(
        self, host: Engine, authenticator: Authenticator, config: HttpConfig, metrics: Metrics,
        tickets: TicketOffice | None = None,
    ) -> None:  # fmt: skip
        self._config = config
        self._prover = Prover(config, authenticator, tickets, metrics)
        self._admission = Admission(config, self._prover)
        self._transport = WebSocketTransport(host, self._admission, config, metrics)
        self._rest = RestTransport(host, self._admission, config, metrics)
        self._health = Health(host, metrics)
        self._tickets = TicketDesk(self._prover, tickets) if tickets is not None else None
        self._runners: list[web.ServerRunner] = []
        self._sockets: list[socket.socket] = []
        self._metrics_sockets: list[socket.socket] = []
        self.port = 0
        """The one listened on."""
        self.metrics_port: int | None = None

    @property
    def url(self) -> str:
        """What a client connects to."""
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"ws://{host}:{self.port}"

    def claim_ports(self) -> None:
        """Take the ports before anything else is started; who connects waits until `start`. Raises `ListenError`."""
        config = self._config
        self._sockets = listen(config.host, config.port)
        forget_the_vanished(self._sockets, config.channel.vanished_after_s)
        self.port = self._sockets[0].getsockname()[1]
        if config.metrics_port is not None:
            self._metrics_sockets = listen(config.metrics_host, config.metrics_port)
            self.metrics_port = self._metrics_sockets[0].getsockname()[1]

    async def start(self) -> None:
        """Serve on the claimed ports."""
        await self._serve(self._answer, self._sockets)
        if self._metrics_sockets:
            await self._serve(self._answer_metrics, self._metrics_sockets)
        self._transport.start()

    async def _serve(self, handler: Handler, sockets: list[socket.socket]) -> None:
        runner = web.ServerRunner(_Server(handler, self._config), shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        self._runners.append(runner)
        await runner.setup()
        for listener in sockets:
            await web.SockSite(runner, listener).start()

    def refuse_new(self) -> None:
        """From now on nobody new is let in; those inside and the health checks go on."""
        self._admission.closed = True
        self._health.forget()

    async def stop(self) -> None:
        """Send everyone away and release the ports."""
        self.refuse_new()
        await self._transport.stop()
        for runner in self._runners:
            await runner.cleanup()
        for listener in (*self._sockets, *self._metrics_sockets):
            listener.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._dispatch(request)
        if not response.prepared:
            put_on(response)
        return response

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        if (refused := refused_head(request, self._config)) is not None:
            return refused
        connection = request.protocol
        assert isinstance(connection, Connection)
        if (place := find_place(request.rel_url.raw_path)) is not None:
            return await self._rest.serve(request, place, connection)
        try:
            return await self._other(request, connection)
        except Refusal as refusal:
            if request.body_exists:
                # What comes after a refused head is not read as a request.
                refusal.response.force_close()
            return refusal.response

    async def _other(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        """All that is no REST; raises `Refusal`."""
        if request.path == tickets.PATH and self._tickets is not None:
            self._admission.check_origin(request)
            return self._tickets.answer(request)
        is_watched = request.path in health.PATHS or request.path == "/metrics"
        session = None if is_watched else session_of(request.path)
        if (refused := _refused_form(request)) is not None:
            return refused
        if (watched := await self._watched(request)) is not None:
            return watched
        if is_watched:
            return problem(404, "not_found", "nothing is served here")
        return await self._transport.serve(request, session, connection.arrivals)

    async def _watched(self, request: web.BaseRequest) -> web.Response | None:
        """What those who watch the server may see here; raises `Refusal` for what others may not."""
        if request.path in health.PATHS:
            if health.VERBOSE in request.query:
                self._check_watcher(request)
            return await self._health.answer(request)
        if request.path != "/metrics" or self._config.metrics_port is not None:
            return None
        self._check_watcher(request)
        return self._health.metrics()

    def _check_watcher(self, request: web.BaseRequest) -> None:
        """Whoever is on this machine may watch; from elsewhere it takes the scope `admin`. Raises `Refusal`."""
        if is_loopback(self._config.host) and not is_passed_on(request):
            return
        if "admin" not in self._prover.by_token(request).principal.scopes:
            raise Refusal("forbidden", problem(403, "forbidden", "the token lacks the scope 'admin'"))

    async def _answer_metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._dispatch_metrics(request)
        put_on(response)
        return response

    async def _dispatch_metrics(self, request: web.BaseRequest) -> web.Response:
        if (refused := _refused_form(request)) is not None:
            return refused
        if request.path == "/metrics":
            return self._health.metrics()
        if request.path in health.PATHS:
            return await self._health.answer(request)
        return problem(404, "not_found", "nothing is served here")


def _refused_form(request: web.BaseRequest) -> web.Response | None:
    """Methods that nothing here has, and bodies, which nothing here takes; what comes after them is not read."""
    response = None
    if "Content-Encoding" in request.headers:
        response = problem(415, "unsupported_encoding", "no content encoding is served")
    elif request.method not in ("GET", "HEAD"):
        response = problem(405, "method_not_allowed", "only GET is served", headers={"Allow": "GET, HEAD"})
    elif request.body_exists:
        response = problem(413, "too_large", "a request here has no body")
    if response is not None:
        response.force_close()
    return response
