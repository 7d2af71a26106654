"""What a session was before: gone back to, branched off, kept under a name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self, cast

from bascule.answers import Copied, Pin, Rewound, answer_of
from bascule.connection import Connection
from bascule.requests import Json

Attach = Callable[[str], Awaitable[Any]]
"""Binds to a session of the same server, by its id, as its owner."""


class AsyncStates:
    """The part of `AsyncSession` that is about states."""

    def __init__(self, connection: Connection, attach: Attach) -> None:
        self.connection = connection
        self._attach = attach

    async def rewind(self, seq: int) -> Rewound:
        """Go back: names and files are as they were after eval `seq`, one of `states()`. It is a commit of its own.

        What runs or waits raises `RolledBackError` where it is waited for. Raises `NotFoundError` for a state that is
        not kept any more; its `details` have `kept`.
        """
        return answer_of(Rewound, await self._ask("rewind", seq=seq))

    async def fork(self, seq: int | None = None, *, name: str | None = None) -> Self:
        """A new session that begins with the last committed state, or that of `seq`; its random generators are
        reseeded. As a context manager it closes the new session. Raises `NotFoundError`."""
        said = answer_of(Copied, await self._ask("fork", seq=seq, name=name))
        return cast(Self, await self._attach(said.session))

    async def states(self) -> list[int]:
        """Numbers of the states that `rewind`, `fork` and `pin` may name, the oldest first."""
        return list((await self._kept())["states"])

    async def pin(self, name: str, seq: int | None = None) -> Pin:
        """Keep the last committed state, or that of `seq`, under a name for as long as the session; a name that is in
        use moves. `client.open(from_=session.id, pin=name)` begins with it. Raises `NotFoundError`."""
        return answer_of(Pin, await self._ask("pin", name=name, seq=seq))

    async def unpin(self, name: str) -> None:
        """Let go of a name. Raises `NotFoundError`."""
        await self._ask("unpin", name=name)

    async def pins(self) -> list[Pin]:
        """The states that are kept under a name."""
        return [answer_of(Pin, pin) for pin in (await self._kept())["pins"]]

    async def _kept(self) -> Json:
        return await self._ask("history", **{"from": 1, "to": 0})

    async def _ask(self, type_: str, **payload: Any) -> Json:
        return await self.connection.ask(type_, {name: value for name, value in payload.items() if value is not None})
