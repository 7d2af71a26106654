"""Commits of all sessions on one connection: what has gathered while the last batch was away goes as the next one.

A batch is one pipeline: one script call for each commit and for each intent, and at the end a question: has the server
synced the writes of this connection (WAITAOF), or, where it syncs always, are its settings still so. The library
repeats nothing; an answer that was lost is asked for once more with the same arguments, within the same deadline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError

from orchestrator.stores.redis import facts
from orchestrator.stores.redis.errors import FOREIGN, LOST, translated, unavailable
from orchestrator.stores.redis.facts import WATCH, Syncing, still_syncs
from orchestrator.stores.redis.wire import exchange, loads, pack
from replwire.errors import WireError

BATCH_MAX: Final = 1000
"""Commits in one pipeline."""

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes in one pipeline, unless a single commit is larger."""

WAITING_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of commits that wait for the connection; beyond it `store_unavailable`."""

FACTS_FRESH_S: Final = 10.0
"""How old the knowledge of the server's settings may be."""

SYNC_WAIT_MS: Final = 1500
"""How long WAITAOF may wait; shorter than the deadline, so that its answer is seen."""

_QUESTIONS: Final = {Syncing.ASKED: pack((b"WAITAOF", 1, 0, SYNC_WAIT_MS)), Syncing.ALWAYS: pack(WATCH)}

_SCRIPTS: Final = ("commit", "intend", "withdraw")


class Packed(NamedTuple):
    """One commit, ready to be sent."""

    data: bytes
    answered: asyncio.Future[tuple[Any, str]]
    """The script's reply, and what the store did with the write: `fsync` or `memory`."""
    is_commit: bool
    """And no intent."""


class CommitLine:
    """The one connection, the commits that wait for it, and the task that serves them."""

    def __init__(
        self, pool: BlockingConnectionPool, deadline_s: float, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self._pool = pool
        self._deadline_s = deadline_s
        self._on_batch = on_batch
        self._connection: AbstractConnection | None = None
        self._syncing = Syncing.NEVER_KNOWN
        self._evicts = False
        self._facts_until = 0.0
        self._waiting: deque[Packed] = deque()
        self._waiting_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def submit(self, data: bytes, *, is_commit: bool = True) -> asyncio.Future[tuple[Any, str]]:
        """Queue a commit, or what goes with one. The future raises `WireError`, or carries what the server raised."""
        if self._waiting_bytes + len(data) > WAITING_BYTES_MAX:
            raise unavailable("queue")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[tuple[Any, str]] = loop.create_future()
        self._waiting.append(Packed(data, answered, is_commit))
        self._waiting_bytes += len(data)
        if self._task is None:
            self._task = loop.create_task(self._serve())
        return answered

    async def close(self) -> None:
        """Send what waits, then leave."""
        if self._task is not None:
            await self._task
        await self._drop()

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._send(self._next_batch())
        finally:
            self._task = None

    def _next_batch(self) -> list[Packed]:
        batch: list[Packed] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MAX:
            size += len(self._waiting[0].data)
            if batch and size > BATCH_BYTES_MAX:
                break
            batch.append(self._waiting.popleft())
        self._waiting_bytes -= sum(len(item.data) for item in batch)
        return batch

    async def _send(self, batch: list[Packed]) -> None:
        commits = sum(item.is_commit for item in batch)
        if self._on_batch is not None and commits:
            self._on_batch(commits)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._ask_twice(batch)
        except (*FOREIGN, WireError) as error:
            # Those that wait would meet the same: they hear it now, not one deadline later each.
            await self._give_up(batch, error)
        except BaseException as error:
            # The end of the task: whatever it was, nobody may wait for ever.
            await self._give_up(batch, error)
            raise

    async def _give_up(self, batch: list[Packed], error: BaseException) -> None:
        for item in (*batch, *self._waiting):
            if not item.answered.done():
                item.answered.set_exception(translated(error))
        self._waiting.clear()
        self._waiting_bytes = 0
        await self._drop()

    async def _ask_twice(self, batch: list[Packed]) -> None:
        try:
            await self._ask(batch)
        except LOST:
            await self._drop()
            await self._ask([item for item in batch if not item.answered.done()])

    async def _ask(self, batch: list[Packed]) -> None:
        connection = await self._connected()
        unknown = await self._ask_once(connection, batch)
        if unknown:
            await self._introduce(connection)
            if await self._ask_once(connection, unknown):
                raise unavailable("noscript")

    async def _ask_once(self, connection: AbstractConnection, batch: list[Packed]) -> list[Packed]:
        """Answer all that have an answer; those that met a server without the script are given back."""
        packed = [item.data for item in batch]
        question = _QUESTIONS.get(self._syncing)
        if question is not None:
            packed.append(question)
        replies = await exchange(connection, packed, len(packed))
        durable = "memory" if question is None else self._durable(replies.pop())
        unknown = []
        for item, reply in zip(batch, replies, strict=True):
            if isinstance(reply, NoScriptError):
                unknown.append(item)
            elif not item.answered.done():
                item.answered.set_result((reply, durable))
        return unknown

    def _durable(self, reply: Any) -> str:
        """What the answer to the question says of the batch; an unexpected one has all asked anew."""
        if self._syncing is Syncing.ALWAYS:
            if still_syncs(reply):
                return "fsync"
            self._facts_until = 0.0
            return "memory"
        if isinstance(reply, Exception):
            # The append-only file was switched off under us.
            self._facts_until = 0.0
            return "memory"
        return "fsync" if reply[0] >= 1 and not self._evicts else "memory"

    async def _connected(self) -> AbstractConnection:
        if self._connection is None:
            self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        if not self._connection.is_connected:
            await self._connection.connect()
            self._facts_until = 0.0
        if asyncio.get_running_loop().time() >= self._facts_until:
            await self._introduce(self._connection)
        return self._connection

    async def _introduce(self, connection: AbstractConnection) -> None:
        """Load the scripts and learn how the server treats a write, over the connection that the commits take."""
        commands = [*loads(*_SCRIPTS), *facts.ASK]
        replies = await exchange(connection, [pack(command) for command in commands], len(commands))
        for loaded in replies[: len(_SCRIPTS)]:
            if isinstance(loaded, Exception):
                raise loaded
        found = facts.read(replies[len(_SCRIPTS) :])
        self._syncing, self._evicts = found.syncing, found.evicts
        self._facts_until = asyncio.get_running_loop().time() + FACTS_FRESH_S

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
