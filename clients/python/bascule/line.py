"""The socket of a connection: requests out, what comes in to the inbox; its loss is `Lost`."""

from __future__ import annotations

import asyncio
import contextlib
from builtins import TimeoutError as PlainTimeoutError

import aiohttp

from bascule.dialling import Dialler
from bascule.errors import NO_ANSWER, BasculeError, TimeoutError
from bascule.inbox import Inbox, Lost
from bascule.requests import Json, Pending, Requests


class Line:
    """One socket at a time. While `connect` or `call` runs, nobody else receives."""

    def __init__(self, dialler: Dialler, requests: Requests, inbox: Inbox) -> None:
        self._dialler = dialler
        self._requests = requests
        self._inbox = inbox
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None

    async def connect(self, type_: str, payload: Json) -> Json:
        """Dial and ask; the answer. Raises `Lost`, `TimeoutError`, `ConnectionError`, or what the answer is."""
        limit_s = self._dialler.settings.connect_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                self._socket = await self._dialler.dial()
                return await self.call(type_, payload)
        except PlainTimeoutError as error:
            if isinstance(error, BasculeError):
                raise
            words = f"the server at {self._dialler.settings.url} did not answer within {limit_s:g} s"
            raise TimeoutError(words, code=NO_ANSWER) from None

    async def call(self, type_: str, payload: Json) -> Json:
        """Ask and wait. Raises `Lost`, or what the answer is."""
        pending = self._requests.new(type_, payload)
        try:
            await self.send(pending)
            while not pending.answer.done():
                await self.receive()
            return pending.answer.result()
        finally:
            self._requests.forget(pending)

    async def send(self, pending: Pending) -> None:
        """Send a request; that it could not be sent is noticed by whoever receives."""
        pending.sent, pending.generation = True, self._inbox.generation
        if self._socket is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
                await self._socket.send_str(pending.text)

    async def receive(self) -> None:
        """One message, to the inbox. Raises `Lost`."""
        socket = self._socket
        if socket is None:
            raise Lost("there is no connection")
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self._inbox.received(message.data)
        else:
            code = socket.close_code
            raise Lost(f"closed with {code} {message.extra or message.data or ''}".rstrip(), close_code=code)

    async def hang_up(self) -> None:
        """Close what is open."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
