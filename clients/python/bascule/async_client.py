"""The client, for programs that run on asyncio."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Literal, Self

from bascule.async_session import AsyncSession
from bascule.connection import Connection
from bascule.dialling import Dialler
from bascule.inbox import OnEvent
from bascule.requests import Json
from bascule.settings import ApiKey, read_settings

Durability = Literal["commit", "async", "none"]


class AsyncClient:
    """Opens sessions on one server, and comes back to them.

    `api_key` and `url` come from `BASCULE_API_KEY` and `BASCULE_API_URL` when they are not given; a key may be a
    function that returns one. `tls` is for a server whose certificate the system does not trust by itself; `settings`
    are those of `bascule.Settings`, by name. Raises `AuthenticationError` when there is no key, `SettingsError` for
    what cannot work.
    """

    def __init__(
        self,
        api_key: ApiKey | None = None,
        url: str | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        self.settings = read_settings(api_key, url, **settings)
        self._dialler = Dialler(self.settings, tls)
        self._connections: set[Connection] = set()

    def open(
        self, *, name: str | None = None, image: str | None = None, limits: dict[str, int] | None = None,
        durability: Durability | None = None, idle_timeout: float | None = None, on_event: OnEvent | None = None,
    ) -> Opening:  # fmt: skip
        """A new session: `await` it, or enter it with `async with`, which closes it in the end.

        `name`: for people. `image`: one of the operator's worker images. `limits`: lower ones than those in force.
        `durability`: when a result may come (`commit` by default: when the store has it). `idle_timeout`: seconds
        without a request after which its worker is ended (its state is not). `on_event` hears every event of the
        session, also those of no eval of ours (`Status`, `RolledBack`, `Gap`, `Reconnected`), and must not block.
        """
        said = {"name": name, "image": image, "limits": limits, "durability": durability,
                "idle_timeout_s": idle_timeout}  # fmt: skip
        return Opening(lambda: self._bound("open", said, on_event))

    def attach(
        self, session_id: str, *, cursor: str | None = None, role: Literal["driver", "observer"] | None = None,
        on_event: OnEvent | None = None,
    ) -> Opening:  # fmt: skip
        """Come back to a session, or join it: `await` it, or `async with`, which detaches in the end.

        With `cursor`, `on_event` hears first what was missed since. An observer may only watch.
        """
        said = {"session": session_id, "cursor": cursor, "role": role}
        return Opening(lambda: self._bound("attach", said, on_event))

    async def describe(self) -> Json:
        """What the server is and offers, its limits, and what this key may do."""
        connection = Connection(self._dialler, self.settings)
        try:
            return await connection.ask_once("describe", {})
        finally:
            await connection.end()

    async def _bound(self, type_: str, said: Json, on_event: OnEvent | None) -> AsyncSession:
        connection = Connection(self._dialler, self.settings, on_event)
        connection.inbox.keeps = said.get("durability") != "none"
        await connection.bind(type_, {name: value for name, value in said.items() if value is not None})
        self._connections = {other for other in self._connections if not other.is_over} | {connection}
        return AsyncSession(connection, is_owner=type_ == "open")

    async def close(self) -> None:
        """Hang up. Sessions that are still open go on without us."""
        for connection in self._connections:
            await connection.end()
        self._connections = set()
        await self._dialler.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Opening:
    """A session on its way: to be awaited, or entered with `async with`."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, AsyncSession]]) -> None:
        self._work = work
        self._session: AsyncSession | None = None

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self.session().__await__()

    async def session(self) -> AsyncSession:
        """The same as awaiting it."""
        return await self._work()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._work()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.__aexit__(kind, error, traceback)
