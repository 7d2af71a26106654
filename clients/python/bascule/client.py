"""The client, for programs without asyncio."""

from __future__ import annotations

import atexit
import os
import ssl
import weakref
from types import TracebackType
from typing import Any, Literal, Self

from bascule.answers import Copied
from bascule.async_client import AsyncClient, Durability
from bascule.background import BackgroundLoop
from bascule.inbox import OnEvent
from bascule.requests import Json
from bascule.session import Session
from bascule.settings import ApiKey, Settings

_open: weakref.WeakSet[Client] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A program that ends without `close` hangs up in order all the same."""
    for client in tuple(_open):
        client.close()


class Client:
    """As `AsyncClient`: opens sessions on one server, and comes back to them. May be used from several threads."""

    def __init__(
        self,
        api_key: ApiKey | None = None,
        url: str | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        self._client = AsyncClient(api_key, url, tls=tls, **settings)
        self._loop = BackgroundLoop()
        _open.add(self)

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._client.settings

    def open(
        self, *, name: str | None = None, image: str | None = None, limits: dict[str, int] | None = None,
        durability: Durability | None = None, idle_timeout: float | None = None, park_unsaved: bool | None = None,
        from_: str | None = None, seq: int | None = None, pin: str | None = None, on_event: OnEvent | None = None,
    ) -> Session:  # fmt: skip
        """A new session; see `AsyncClient.open`. `on_event` is called on the client's own thread."""
        opening = self._client.open(
            name=name, image=image, limits=limits, durability=durability, idle_timeout=idle_timeout,
            park_unsaved=park_unsaved, from_=from_, seq=seq, pin=pin, on_event=on_event,
        )  # fmt: skip
        return Session(self._loop.call(opening.session()), self._loop, self)

    def attach(
        self, session_id: str, *, cursor: str | None = None, role: Literal["driver", "observer"] | None = None,
        on_event: OnEvent | None = None,
    ) -> Session:  # fmt: skip
        """Come back to a session, or join it; see `AsyncClient.attach`."""
        opening = self._client.attach(session_id, cursor=cursor, role=role, on_event=on_event)
        return Session(self._loop.call(opening.session()), self._loop, self)

    def export_session(self, session_id: str, path: str | os.PathLike[str]) -> int:
        """As `AsyncClient.export_session`."""
        return self._loop.call(self._client.export_session(session_id, path))

    def import_session(self, path: str | os.PathLike[str]) -> Copied:
        """As `AsyncClient.import_session`."""
        return self._loop.call(self._client.import_session(path))

    def describe(self) -> Json:
        """What the server is and offers, its limits, and what this key may do."""
        return self._loop.call(self._client.describe())

    def close(self) -> None:
        """Hang up. Sessions that are still open go on without us."""
        _open.discard(self)
        self._loop.call(self._client.close())
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
