"""`/livez`, `/readyz`, `/healthz`, `/metrics`: for those who watch the server. Who may see what is for the caller."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiohttp import web

from orchestrator.telemetry.metrics import CONTENT_TYPE, Metrics
from orchestrator.transports.websocket import Host

CHECKS_KEPT_S: Final = 1.0
"""How long an answer of the checks is given again: strangers may ask, the store need not be."""

VERBOSE: Final = "verbose"
"""The parameter that asks for the checks one by one."""
PATHS: Final = ("/livez", "/readyz", "/healthz")

_NO_STORE: Final = {"Cache-Control": "no-store"}


class Health:
    """Answers of one server."""

    def __init__(self, host: Host, metrics: Metrics) -> None:
        self._host = host
        self._metrics = metrics
        self._checks: list[tuple[str, bool, str]] = []
        self._kept_until = 0.0
        self._asking = asyncio.Lock()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """`/livez` is 200 while this process runs; the others are 503 unless it can serve; `?verbose` lists why."""
        if request.path == "/livez":
            return web.Response(text="ok\n", headers=_NO_STORE)
        checks = await self._fresh_checks()
        ready = all(well for _, well, _ in checks)
        text = "ok\n" if ready else "not ready\n"
        if VERBOSE in request.query:
            text = "".join(f"[{'+' if well else '-'}] {name}: {words}\n" for name, well, words in checks) + text
        return web.Response(status=200 if ready else 503, text=text, headers=_NO_STORE)

    def forget(self) -> None:
        """Something has changed: whoever asks next hears of it."""
        self._kept_until = 0.0

    def metrics(self) -> web.Response:
        """Everything that is counted, for Prometheus."""
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE, **_NO_STORE})

    async def _fresh_checks(self) -> list[tuple[str, bool, str]]:
        async with self._asking:
            if time.monotonic() >= self._kept_until:
                self._checks = await self._host.checks()
                self._kept_until = time.monotonic() + CHECKS_KEPT_S
        return self._checks
