"""All calls but commits: on a few pooled connections, in time, asked a second time where that is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection

from orchestrator.stores.redis.errors import FOREIGN, LOST, translated
from orchestrator.stores.redis.wire import Argument, Command, exchange, lacks_script, loads, pack, run


class Calls:
    """Every command that goes through here may be repeated: reads, and scripts that know their own repetition."""

    def __init__(self, pool: BlockingConnectionPool, deadline_s: float) -> None:
        self._pool = pool
        self._deadline_s = deadline_s

    async def ask(self, *command: Argument) -> Any:
        """One command's reply; raises `WireError`."""
        return (await self.ask_all([command]))[0]

    async def run(self, name: str, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """One script's reply; raises `WireError`."""
        return (await self.ask_all([run(name, keys, arguments)], name))[0]

    async def ask_all(self, commands: Sequence[Command], *scripts: str) -> list[Any]:
        """The replies to commands that are sent together; the first error among them is raised as `WireError`."""
        replies = await self.try_all(commands, *scripts)
        for reply in replies:
            if isinstance(reply, Exception):
                raise translated(reply) from None
        return replies

    async def try_all(self, commands: Sequence[Command], *scripts: str) -> list[Any]:
        """The same, with the server's errors as exceptions in the list. `scripts` are loaded if they are not known."""
        packed = [pack(command) for command in commands]
        try:
            async with asyncio.timeout(self._deadline_s):
                replies = await self._exchange_twice(packed)
                if lacks_script(replies):
                    known = loads(*scripts)
                    again = [pack(command) for command in known] + packed
                    replies = (await self._exchange_twice(again))[len(known) :]
        except FOREIGN as error:
            raise translated(error) from None
        return replies

    async def _exchange_twice(self, packed: Sequence[bytes]) -> list[Any]:
        try:
            return await self._exchange(packed)
        except LOST:
            return await self._exchange(packed)

    async def _exchange(self, packed: Sequence[bytes]) -> list[Any]:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            return await exchange(connection, packed, len(packed))
        except BaseException:
            # Replies may be on their way still: nobody else must read them.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.disconnect()
