"""One WebSocket of a campaign's client: requests by id, and everything else to whoever listens, in order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from support.client import TERMINALS
from support.server import TOKEN

Envelope = dict[str, Any]

HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}

DIAL_TIMEOUT_S: Final = 5.0
"""For a handshake; a front door that is stopped takes the connection and says nothing."""

CLOSE_S: Final = 0.1
"""For a goodbye, which a silent network does not answer."""


class Lost(Exception):
    """The connection ended before the answer came, or could not be made."""


class Unanswered(Exception):
    """The connection stayed, and no answer came in time."""


class Connection:
    """Ends itself when its server does. `listener` gets each envelope that answers nothing, or answers once more.

    An answer to a request that its client has given up is nobody's.
    """

    def __init__(self, http: aiohttp.ClientSession, listener: Callable[[Envelope], None]) -> None:
        self._http = http
        self._listener = listener
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._open: dict[str, asyncio.Future[Envelope]] = {}
        self._reader: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether requests can be sent."""
        return self._reader is not None and not self._reader.done()

    async def dial(self, url: str) -> None:
        """Raises `Lost`."""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                self._socket = await self._http.ws_connect(
                    f"{url}/v1/ws", headers=HEADERS, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S)
                )
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(str(error)) from None
        self._reader = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(json.loads(message.data))
        except (aiohttp.ClientError, OSError):
            pass
        finally:
            for answer in self._open.values():
                if not answer.done():
                    answer.set_exception(Lost("the connection ended"))

    def _take(self, said: Envelope) -> None:
        answer = self._open.get(said.get("id") or "")
        if said["type"] in TERMINALS and answer is not None and not answer.done():
            answer.set_result(said)
        elif answer is None or not answer.cancelled():
            self._listener(said)

    async def ask(self, id_: str, type_: str, payload: Envelope, within_s: float) -> Envelope:
        """The terminal of a request; raises `Lost` or `Unanswered`."""
        if self._socket is None or not self.is_up:
            raise Lost("there is no connection")
        answer = self._open[id_] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"id": id_, "type": type_, "payload": payload, "timestamp": time.time()})
            async with asyncio.timeout(within_s):
                return await answer
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise Unanswered(f"no answer to {type_} {id_} in {within_s:g} s") from None
            raise Lost(str(error)) from None
        finally:
            answer.cancel()

    async def hang_up(self) -> None:
        """End it, whatever state it is in."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


async def stored(http: aiohttp.ClientSession, url: str, session: str) -> tuple[int, str] | None:
    """Seq and etag of what the store has of a session now, through that front door; None when it does not tell."""
    address = f"{url.replace('ws', 'http', 1)}/v1/sessions/{session}"
    try:
        async with asyncio.timeout(DIAL_TIMEOUT_S), http.get(address, headers=HEADERS) as answer:
            if answer.status != 200:
                return None
            said = await answer.json()
    except (aiohttp.ClientError, OSError):
        return None
    return said["seq"], said["etag"]
