"""Half a transaction, torn by a crash at the end of the append-only file, must not come back.

A server that finds the file ending within a command of a transaction (`aof-load-truncated yes`, the default) takes that
command off and leaves the beginning of the transaction in the file; seen with Redis 7.0.15 and 8.2.3. In memory all is
well. But what is written from then on stands behind that beginning, and when the file is read again, at the next start
but one, the beginning is carried out with the first transaction behind it: half a commit of before, in between others.

A file that is written anew from memory has no such beginning in it. So each start of a server is followed by one
rewrite, which is asked for by the front door that comes first, and noted in the server by the run id of its process.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from orchestrator.stores.keys import REWRITTEN_KEY
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.facts import Facts

ASK_AGAIN_S: Final = 60.0
"""After a rewrite that was refused or has failed (the disk may be full)."""

REFUSED: Final = "BGREWRITEAOF is refused: a commit that a crash of the server tore may come back after the next one"
FAILED: Final = "the append-only file could not be written anew after the server's start"

_ALREADY: Final = "in progress"
"""In the server's answer when somebody else has asked."""

_log = structlog.get_logger("bascule.store")


class TornEnd:
    """Of the server's file, as this front door knows it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._rewritten = ""
        """Run id of the server whose file has been written anew since its start."""
        self._asked = ""
        self._is_refused = False
        self._ask_again_at = 0.0
        self._warnings: tuple[str, ...] = ()

    async def look(self, found: Facts) -> tuple[str, ...]:
        """Do what comes next, if anything does; what people should know. Raises `WireError`."""
        run = found.run_id
        if not found.appends or run == self._rewritten:
            return ()
        if self._asked != run:
            await self._begin(run)
        elif not found.is_rewriting:
            await self._go_on(run, found)
        return self._warnings

    async def _begin(self, run: str) -> None:
        if await self._ask(b"GET", REWRITTEN_KEY) == run.encode():
            self._rewritten, self._warnings = run, ()
        else:
            await self._rewrite(run)

    async def _go_on(self, run: str, found: Facts) -> None:
        if found.rewrite_succeeded and not self._is_refused:
            await self._note(run)
            return
        if not self._is_refused:
            self._warnings = (FAILED,)
        if asyncio.get_running_loop().time() >= self._ask_again_at:
            await self._rewrite(run)

    async def _rewrite(self, run: str) -> None:
        self._asked, self._ask_again_at = run, asyncio.get_running_loop().time() + ASK_AGAIN_S
        answer = await self._ask(b"BGREWRITEAOF")
        self._is_refused = isinstance(answer, Exception) and _ALREADY not in str(answer)
        self._warnings = (REFUSED,) if self._is_refused else ()

    async def _note(self, run: str) -> None:
        if await self._ask(b"SET", REWRITTEN_KEY, run.encode()) == b"OK":
            self._rewritten, self._warnings = run, ()
            _log.info("append-only file rewritten")

    async def _ask(self, *command: bytes) -> Any:
        """The reply, or what the server raised."""
        return (await self._calls.try_all([command]))[0]
