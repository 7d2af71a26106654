"""The plainest REPL over WebSocket: one process, `exec` in a dict for each connection, no isolation, nothing kept.

It is what `make bench` measures Bascule against, and speaks enough of the protocol for the clients here. Run as a
process of its own: `python -m loadtests.contestants.bridge_server`; prints `ready ws://…`. Loopback only, and only for
who shows the token of the environment: whoever connects runs code as this user.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import sys
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from loadtests.contestants.plain_repl import evaluate


def admit(connection: ServerConnection, request: Request) -> Response | None:
    """A refusal for who does not show the token."""
    expected = f"Bearer {os.environ['BRIDGE_TOKEN']}".encode()
    if hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected):
        return None
    return connection.respond(HTTPStatus.UNAUTHORIZED, "no token\n")


async def converse(connection: ServerConnection) -> None:
    """One connection, one namespace, one request after the other."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    async for message in connection:
        request = json.loads(message)
        for type_, payload in answers(request["type"], request.get("payload") or {}, namespace):
            await connection.send(json.dumps({"id": request["id"], "type": type_, "payload": payload}))


def answers(type_: str, payload: dict[str, Any], namespace: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Types and payloads of what answers a request."""
    if type_ != "eval":
        return [("reply", {})]
    result = evaluate(payload["code"], namespace)
    if not payload.get("stream"):
        return [("result", result)]
    event = {"name": "stdout", "text": result.pop("stdout")}
    return [("stream", event), ("result", {**result, "stdout": ""})]


async def main() -> None:
    """Serve until killed."""
    async with serve(converse, "127.0.0.1", 0, process_request=admit, compression=None, max_size=None) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        sys.stdout.write(f"ready ws://{host}:{port}\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
