"""`bascule serve` as a process whose words, streams and exit code are looked at (for its service: `support.server`)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.server import TOKEN

START_TIMEOUT_S = 30
END_TIMEOUT_S = 30


@asynccontextmanager
async def serving(*words: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, ended afterwards whatever happened."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", "serve", "--dev-token", TOKEN, *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), END_TIMEOUT_S)


async def ready(process: asyncio.subprocess.Process) -> str:
    """The address of its `ready` line."""
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)).decode()
    word, _, url = line.strip().partition(" ")
    assert word == "ready"
    return url


async def logged(process: asyncio.subprocess.Process, event: str) -> str:
    """Wait for an event of its log; the line."""
    assert process.stderr is not None
    async with asyncio.timeout(START_TIMEOUT_S):
        while line := (await process.stderr.readline()).decode():
            if f'"{event}"' in line:
                return line
    raise AssertionError(f"it ended with {await process.wait()} and never said {event!r}")
