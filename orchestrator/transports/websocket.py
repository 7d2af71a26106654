"""The WebSocket transport: lets a client in, makes its Channel, hands it to the engine, sees it out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from aiohttp import web

from orchestrator.core.ids import RANDOM_BYTES, is_session_id, prefixed_id
from orchestrator.core.principal import Principal
from orchestrator.ports import Channel
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.admission import Admission, Guest, Refusal
from orchestrator.transports.channel import Arrivals, WebSocketChannel
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.headers import put_on
from orchestrator.transports.problems import INCIDENT, problem
from orchestrator.transports.watch import Watch
from replwire.messages import SUBPROTOCOL

PATHS: Final = ("/", "/v1/ws")

_log = structlog.get_logger("bascule.transport")


class Host(Protocol):
    """What this transport needs of the engine."""

    async def converse(
        self, channel: Channel, principal: Principal, *, session: str | None = None, told_everything: bool = False,
        lapsed: asyncio.Event | None = None,
    ) -> None:  # fmt: skip
        """One client's connection, until it is closed. Once `lapsed` is set, or the principal's time is over, what
        runs may end, and then it is closed with 1008."""

    async def checks(self) -> list[tuple[str, bool, str]]:
        """What readiness looks at: name, whether it is well, words."""


@dataclass(frozen=True, slots=True)
class _Inside:
    guest: Guest
    lapsed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it would not be let in any more."""


class WebSocketTransport:
    """All WebSocket connections of a server."""

    def __init__(self, host: Host, admission: Admission, config: HttpConfig, metrics: Metrics) -> None:
        self._host = host
        self._admission = admission
        self._config = config
        self._metrics = metrics
        self._watch = Watch(config.channel, time.monotonic)
        self._guests: dict[WebSocketChannel, _Inside] = {}
        self._rechecking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._watch.start()
        self._rechecking = asyncio.create_task(self._recheck())

    async def stop(self) -> None:
        """Send away who is still here."""
        goodbyes = (channel.close(1012, "this front door is going away") for channel in tuple(self._guests))
        await asyncio.gather(*goodbyes)
        await self._watch.stop()
        if self._rechecking is not None:
            self._rechecking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._rechecking

    async def serve(self, request: web.BaseRequest, session: str | None, arrivals: Arrivals) -> web.StreamResponse:
        """One connection from its handshake to its end, or the response that refuses it."""
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), compress=False, heartbeat=None, autoping=False, decode_text=False,
            max_msg_size=self._config.channel.envelope_bytes_max + 1, timeout=self._config.channel.close_timeout_s,
        )  # fmt: skip
        put_on(socket)
        structlog.contextvars.bind_contextvars(connection_id=prefixed_id("con", secrets.token_bytes(RANDOM_BYTES)))
        try:
            if request.method != "GET" or not socket.can_prepare(request):
                raise Refusal("handshake", _upgrade_required())
            async with self._admission.enter(request) as guest:
                channel = await self._open(socket, request, arrivals)
                await self._converse(channel, guest, session, socket.ws_protocol == SUBPROTOCOL)
        except Refusal as refusal:
            self._metrics.connections_refused.labels(refusal.reason).inc()
            incident = refusal.response.get(INCIDENT)
            _log.info("connection refused", reason=refusal.reason, address=request.remote, incident=incident)
            return refusal.response
        return socket

    async def _open(
        self, socket: web.WebSocketResponse[bool], request: web.BaseRequest, arrivals: Arrivals
    ) -> WebSocketChannel:
        writer = await socket.prepare(request)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left during the handshake")
        return WebSocketChannel(socket, writer, transport, arrivals, self._config.channel, self._metrics.traffic)

    async def _converse(self, channel: WebSocketChannel, guest: Guest, session: str | None, told: bool) -> None:
        began = time.monotonic()
        who = guest.principal
        _log.info(
            "connection opened", principal=who.name, credential=who.credential, address=guest.address,
            session_id=session,
        )  # fmt: skip
        self._guests[channel] = inside = _Inside(guest)
        self._watch.add(channel)
        self._metrics.connections.inc()
        try:
            await self._host.converse(
                channel, guest.principal, session=session, told_everything=told, lapsed=inside.lapsed
            )
            await channel.close(1000, "")
        except Exception:  # noqa: BLE001 - the end of a connection's task: the client is owed a goodbye
            _log.exception("connection failed")
            await channel.close(1011, "something went wrong on our side")
        finally:
            self._metrics.connections.dec()
            self._watch.remove(channel)
            del self._guests[channel]
            _log.info("connection closed", close_code=channel.close_code, seconds=round(time.monotonic() - began, 3))

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self._config.recheck_interval_s)
            for inside in self._guests.values():
                if not inside.lapsed.is_set() and not self._admission.still_valid(inside.guest):
                    who = inside.guest.principal
                    _log.info("principal lapsed", principal=who.name, credential=who.credential)
                    inside.lapsed.set()


def session_of(path: str) -> str | None:
    """The session that an address names: a `Refusal` unless it is an address of this transport."""
    if path in PATHS:
        return None
    match path.split("/"):
        case ["", "v1", "sessions", session, "ws"] if is_session_id(session):
            return session
    raise Refusal("address", problem(404, "not_found", "nothing is served here"))


def _upgrade_required() -> web.Response:
    detail = f"connect with a WebSocket client, a Bearer token and, if you like, the subprotocol {SUBPROTOCOL}"
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    return problem(426, "upgrade_required", detail, headers=headers)
