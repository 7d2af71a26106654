"""The servers: started, watched by their readiness, ended by SIGTERM, started again."""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from loadtests import services

PROBE_S: Final = 0.05
"""Between looks at `/readyz`; in a cluster it is the period of the readiness probe."""


class Replica:
    """One server at a time, always on the same folder."""

    def __init__(self, folder: Path, words: list[str], environment: Mapping[str, str]) -> None:
        folder.mkdir(mode=0o755)
        self._folder = folder
        self._words = [*words, "--state-dir", str(folder / "state")]
        self._environment = environment
        self._process: Process | None = None
        self._probing: asyncio.Task[None] | None = None
        self.port = 0
        self.in_service = False

    async def start(self) -> None:
        """Until it is ready; raises `Unavailable`."""
        log = self._folder / "server.log"
        with log.open("ab") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *self._words, stdin=DEVNULL, stdout=PIPE, stderr=stderr, env=self._environment, start_new_session=True
            )
        self.port = int((await services.ready_url(self._process, log)).rsplit(":", 1)[1])
        self._probing = asyncio.create_task(self._probe())
        async with asyncio.timeout(services.START_TIMEOUT_S):
            while not self.in_service:
                await asyncio.sleep(PROBE_S)

    async def drain(self) -> tuple[int, float]:
        """SIGTERM: its exit status, and the seconds until it was gone."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(self._process.wait(), services.STOP_TIMEOUT_S * 2)
        await self._unprobe()
        return status, time.monotonic() - began

    async def close(self) -> None:
        """End it in any case."""
        await self._unprobe()
        if self._process is not None and self._process.returncode is None:
            await services.end(self._process)

    async def _unprobe(self) -> None:
        self.in_service = False
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe(self) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                        self.in_service = answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    self.in_service = False
                await asyncio.sleep(PROBE_S)
