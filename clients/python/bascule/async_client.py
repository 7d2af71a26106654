"""The client, for programs that run on asyncio."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bascule.answers import Copied
from bascule.async_session import AsyncSession
from bascule.connection import Connection
from bascule.dialling import Dialler
from bascule.errors import InvalidRequestError
from bascule.inbox import OnEvent
from bascule.requests import Json
from bascule.settings import ApiKey, read_settings
from bascule.transfers import export_session, import_session

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
        self._tls = tls
        self._dialler = Dialler(self.settings, tls)
        self._connections: set[Connection] = set()

    def open(
        self, *, name: str | None = None, image: str | None = None, limits: dict[str, int] | None = None,
        durability: Durability | None = None, idle_timeout: float | None = None, park_unsaved: bool | None = None,
        from_: str | None = None, seq: int | None = None, pin: str | None = None, on_event: OnEvent | None = None,
    ) -> Opening:  # fmt: skip
        """A new session: `await` it, or enter it with `async with`, which closes it in the end.

        `name`: for people. `image`: one of the operator's worker images. `limits`: lower ones than those in force.
        `durability`: when a result may come (`commit` by default: when the store has it). `idle_timeout`: seconds
        without a request after which its worker is ended (its state is not). `park_unsaved`: whether that may be done
        while it holds names that no checkpoint keeps. `from_`: id of a session to begin with the state of: its last
        one, that of `seq`, or the one that it pinned as `pin`. `on_event` hears every event of the session, also those
        of no eval of ours (`Status`, `RolledBack`, `Gap`, `Reconnected`), and must not block.
        """
        said = {"name": name, "image": image, "limits": limits, "durability": durability,
                "idle_timeout_s": idle_timeout, "park_unsaved": park_unsaved,
                "from": _origin(from_, seq, pin)}  # fmt: skip
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

    async def _bound(self, type_: str, said: Json, on_event: OnEvent | None, *, is_owner: bool = False) -> AsyncSession:
        connection = Connection(self._dialler, self.settings, on_event)
        connection.inbox.keeps = said.get("durability") != "none"
        await connection.bind(type_, {name: value for name, value in said.items() if value is not None})
        self._connections = {other for other in self._connections if not other.is_over} | {connection}
        return AsyncSession(connection, self._forked, is_owner=type_ == "open" or is_owner)

    async def _forked(self, session_id: str) -> AsyncSession:
        return await self._bound("attach", {"session": session_id}, None, is_owner=True)

    async def export_session(self, session_id: str, path: str | os.PathLike[str]) -> int:
        """Fetch a session as a file, sealed with the operator's key; how many bytes it has.

        It holds the last state, the journal, and what the session was opened with. Raises `ForbiddenError` where no
        export key is set.
        """
        return await export_session(self.settings, self._tls, session_id, Path(path))

    async def import_session(self, path: str | os.PathLike[str]) -> Copied:
        """Make a session of such a file, on a server with the same key; `attach(copied.session)` goes on with it.

        Raises `InvalidRequestError` for a file that is not as it was written, `OSError` for one that can't be read.
        """
        return await import_session(self.settings, self._tls, Path(path))

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


def _origin(session: str | None, seq: int | None, pin: str | None) -> Json | None:
    if session is None and (seq is not None or pin is not None):
        raise InvalidRequestError("seq and pin name a state of the session `from_`")
    said = {"session": session, "seq": seq, "pin": pin}
    return None if session is None else {name: value for name, value in said.items() if value is not None}


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
