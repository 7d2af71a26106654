"""The HTTP server in front of a stage: everything but the store is as it is served, and it is up in no time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from orchestrator.auth.chain import Chain
from orchestrator.auth.dev_token import DevToken
from orchestrator.transports.configuration import HttpConfig
from orchestrator.transports.http_server import HttpServer
from support.engine_stage import Stage, stage
from support.server import TOKEN


@dataclass(frozen=True)
class StageDoor:
    """A stage and where clients connect to it."""

    stage: Stage
    url: str


@contextlib.asynccontextmanager
async def stage_door(*, http: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[StageDoor]:
    """Serve on a free port of loopback; `http` are fields of `HttpConfig`, `settings` those of the engine."""
    async with stage(**settings) as made:
        config = HttpConfig(**{"host": "127.0.0.1", "port": 0, **(http or {})})
        server = HttpServer(made.engine, Chain([DevToken(TOKEN)]), config, made.metrics, None)
        server.claim_ports()
        await server.start()
        try:
            yield StageDoor(made, f"ws://127.0.0.1:{server.port}")
        finally:
            await server.stop()
