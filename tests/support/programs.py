"""`bascule …` as a program with all three of its streams in our hands."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from support.server import TOKEN

BASCULE = (sys.executable, "-m", "orchestrator")
PIPE = asyncio.subprocess.PIPE


@dataclass
class Ended:
    """A program that has ended."""

    status: int
    out: str
    err: str


async def start(url: str, *words: str, **environment: str) -> asyncio.subprocess.Process:
    """Run it."""
    given = {**os.environ, "BASCULE_API_KEY": TOKEN, "BASCULE_API_URL": url, **environment}
    return await asyncio.create_subprocess_exec(*BASCULE, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=given)


async def run(url: str, *words: str, stdin: str = "", **environment: str) -> Ended:
    """The same until it has ended."""
    process = await start(url, *words, **environment)
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
