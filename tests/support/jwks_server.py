"""An issuer's web server with its set of keys, which can be made to misbehave in every way that the network knows."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from support.tokens import Issuer

PATH = "/.well-known/jwks.json"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class JwksServer:
    """Answers with the keys of `issuers`, unless there is an `answer` in their place; counts who asks."""

    issuers: list[Issuer]
    answer: Answer | None = None
    asked: int = 0
    url: str = ""
    runner: web.AppRunner = field(init=False)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.asked += 1
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(body=json.dumps({"keys": [issuer.jwk() for issuer in self.issuers]}))


@contextlib.asynccontextmanager
async def jwks_server(
    *issuers: Issuer, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1"
) -> AsyncIterator[JwksServer]:
    """Serve on a free port of loopback until the block ends."""
    server = JwksServer(list(issuers))
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", server.serve)
    server.runner = web.AppRunner(app, shutdown_timeout=0.1)
    await server.runner.setup()
    await web.TCPSite(server.runner, "127.0.0.1", 0, ssl_context=tls).start()
    port = server.runner.addresses[0][1]
    server.url = f"{'https' if tls else 'http'}://{name}:{port}{PATH}"
    try:
        yield server
    finally:
        await server.runner.cleanup()
