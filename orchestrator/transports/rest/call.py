"""One request under way, and the ways to ask the engine on its behalf."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from orchestrator.core.encoding import to_text
from orchestrator.core.ids import RANDOM_BYTES, prefixed_id
from orchestrator.core.principal import Principal
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.connection import Connection
from orchestrator.transports.rest.events import EventChannel
from orchestrator.transports.rest.exchange import Exchange
from orchestrator.transports.rest.host import RestHost
from orchestrator.transports.rest.queries import Query
from orchestrator.transports.rest.routes import JSON, Place, Route
from replwire.envelopes import Json, envelope
from replwire.errors import WireError


class RefusedError(Exception):
    """The engine answered with an `error`; its payload."""

    def __init__(self, payload: Json) -> None:
        super().__init__(payload["message"])
        self.payload = payload


class ClientGoneError(Exception):
    """Nobody is there to answer."""


def _fresh_id() -> str:
    return prefixed_id("req", secrets.token_bytes(RANDOM_BYTES))


@dataclass(slots=True)
class Call:
    """A request that was let in. `more_headers` go on whatever answers it."""

    request: web.BaseRequest
    connection: Connection
    host: RestHost
    config: HttpConfig
    route: Route
    place: Place
    query: Query
    principal: Principal
    accepted: str
    """The media type to answer with."""
    is_valid: Callable[[], bool]
    """Whether its token still is."""
    more_headers: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=_fresh_id)
    """Of the envelope that it becomes."""

    @property
    def session(self) -> str:
        """That the address names."""
        return self.place.holes["session"]

    @property
    def is_head(self) -> bool:
        """Whether only the head of the answer is wanted."""
        return self.request.method == "HEAD"

    def envelope(self, type_: str, payload: Json, *, id_: str | None = None) -> Json:
        """The request as the wire has it."""
        session = self.place.holes.get("session")
        return envelope(type_, payload, 0, id_=id_ or self.id, session=session)

    async def ask(self, type_: str, payload: Json, *, id_: str | None = None, for_nobody: bool = False) -> Json:
        """The payload of the terminal; raises `RefusedError`, `ClientGoneError` or `WireError`. `for_nobody`: also when
        the client has gone."""
        exchange = Exchange(self.envelope(type_, payload, id_=id_))
        if not for_nobody:
            self._must_be_there()
            self.connection.on_gone = exchange.hang_up
        await self.host.converse(exchange, self.principal)
        if exchange.has_gone and exchange.answer is None:
            raise ClientGoneError
        if exchange.answer is None:
            raise WireError("draining", "this front door is going away; ask again", retry_after_ms=500)
        return _payload(exchange.answer)

    async def ask_again(self, type_: str, payload: Json, *, for_nobody: bool = False) -> Json:
        """A further envelope of the same request, under an id of its own."""
        return await self.ask(type_, payload, id_=_fresh_id(), for_nobody=for_nobody)

    def _must_be_there(self) -> None:
        if self.connection.transport is None:
            raise ClientGoneError

    async def write(self, response: web.StreamResponse, data: bytes) -> None:
        """Send a part of a long answer; a client that does not take it in time is dropped."""
        try:
            async with asyncio.timeout(self.config.channel.slow_client_timeout_s):
                await response.write(data)
        except TimeoutError:
            self.connection.force_close()
            raise ConnectionResetError("the client reads too slowly") from None

    async def listen(self, channel: EventChannel) -> web.StreamResponse:
        """Give a channel of events to the engine until one of them is through with the other."""
        self._must_be_there()
        self.connection.on_gone = channel.hang_up
        beating = asyncio.create_task(channel.beat(self.is_valid))
        try:
            await self.host.converse(channel, self.principal, told_everything=True, lapsed=channel.lapsed)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await channel.finish()
        if channel.refusal is not None:
            raise RefusedError(channel.refusal)
        if channel.response is None and channel.has_gone:
            raise ClientGoneError
        if channel.response is None:
            raise WireError("draining", "this front door is going away; ask again", retry_after_ms=500)
        return channel.response

    def answer(self, body: Any, *, headers: Mapping[str, str] | None = None) -> web.Response:
        """The route's status with a JSON body."""
        sent = {"Cache-Control": "no-store", "Content-Type": JSON, **(headers or {})}
        return web.Response(status=self.route.status, body=to_text(body).encode("utf-8"), headers=sent)

    def nothing(self) -> web.Response:
        """The route's status without a body."""
        return web.Response(status=self.route.status, headers={"Cache-Control": "no-store"})


def _payload(answer: Json) -> Json:
    payload: Json = answer["payload"]
    if answer["type"] == "error":
        raise RefusedError(payload)
    return payload
