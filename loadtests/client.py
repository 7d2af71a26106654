"""A client of the protocol with one request at a time: what the benchmark and the conformance run speak through."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from loadtests.websocket import WebSocket

TERMINALS: Final = frozenset({"result", "reply", "pong", "error"})

Payload = dict[str, Any]


class RequestFailed(Exception):
    """The request ended with an `error`; `code` is the protocol's."""

    def __init__(self, payload: Payload) -> None:
        super().__init__(f"{payload.get('code')}: {payload.get('message')}")
        self.code = str(payload.get("code"))


class ReplClient:
    """One connection, and the session behind it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._prefix = secrets.token_hex(4)
        self._count = 0
        self.session = ""
        """Id of the session, where whoever opened it noted it."""
        self.streamed: list[str] = []
        """Texts of the `stream` events of the last request."""

    @classmethod
    async def connect(cls, url: str, token: str) -> ReplClient:
        """A connection; its session begins with the first request that needs one."""
        return cls(await WebSocket.connect(url, token))

    async def request(self, type_: str, payload: Payload | None = None) -> Payload:
        """The payload of the terminal; raises `RequestFailed`, `ConnectionError`."""
        return await self.request_text(type_, json.dumps(payload or {}))

    async def request_text(self, type_: str, payload: str) -> Payload:
        """The same with a payload that is JSON already, for loops that send one over and over."""
        self._count += 1
        id_ = f"{self._prefix}-{self._count}"
        self.streamed.clear()
        self._socket.send(f'{{"id":"{id_}","type":"{type_}","payload":{payload},"timestamp":0}}')
        while True:
            envelope = json.loads(await self._socket.receive())
            kind = envelope["type"]
            if kind in TERMINALS and envelope.get("id") == id_:
                break
            if kind == "stream":
                self.streamed.append(envelope["payload"]["text"])
        if kind == "error":
            raise RequestFailed(envelope["payload"])
        answer: Payload = envelope["payload"]
        return answer

    async def until_status(self, status: str) -> None:
        """Read until the session says that this is what it does."""
        while True:
            envelope = json.loads(await self._socket.receive())
            if envelope["type"] == "status" and envelope["payload"]["status"] == status:
                return

    async def eval(self, code: str, **more: Any) -> Payload:
        """The payload of the eval's `result`."""
        return await self.request("eval", {"code": code, **more})

    async def close(self) -> None:
        """Hang up; a session without a name ends by itself some time later."""
        await self._socket.close()
