"""Opens WebSockets to the server, and says in our exceptions why it can't."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from bascule.errors import BasculeError, ConnectionError, error_of
from bascule.settings import Settings
from replwire.messages import SUBPROTOCOL

PATH: Final = "/v1/ws"
RECORDS: Final = "/v1/sessions"
GOODBYE_S: Final = 2.0
"""For the server to answer when we hang up."""

_CODE_OF_STATUS: Final = {
    400: "bad_message", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 429: "rate_limited",
    502: "capacity", 503: "capacity", 504: "capacity",
}  # fmt: skip

_WORDS_OF_STATUS: Final = {
    401: "the API key or token is not valid there",
    404: "there is no Bascule server at this address",
    503: "the server has no room, or is going away",
}


class Dialler:
    """Of one client; its HTTP session is made when it is first needed, and closed with `close`."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        self.settings = settings
        self._tls = tls
        self._http: aiohttp.ClientSession | None = None

    async def dial(self) -> aiohttp.ClientWebSocketResponse[bool]:
        """A connection of its own. Raises `ConnectionError`, or what the server refused it with."""
        settings = self.settings
        try:
            return await self._session().ws_connect(
                settings.url + PATH, headers={"Authorization": f"Bearer {settings.token}"},
                protocols=(SUBPROTOCOL,), heartbeat=settings.heartbeat_s,
                timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_S), max_msg_size=settings.message_bytes_max,
                ssl=self._tls if self._tls is not None else True,
            )  # fmt: skip
        except aiohttp.WSServerHandshakeError as refused:
            raise _refusal(settings.url, refused.status, refused.headers) from None
        except (aiohttp.ClientError, OSError) as error:
            words = str(error) or type(error).__name__
            raise ConnectionError(f"no connection to the server at {settings.url}: {words}") from error

    async def record(self, session: str) -> dict[str, Any] | None:
        """What the store knows of a session, by HTTP; None where this server or this token does not show it.

        Raises `ConnectionError`, or what the server could not do now.
        """
        settings = self.settings
        url = f"http{settings.url.removeprefix('ws')}{RECORDS}/{session}"
        try:
            async with self._session().get(
                url, headers={"Authorization": f"Bearer {settings.token}"}, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=settings.connect_timeout_s),
                ssl=self._tls if self._tls is not None else True,
            ) as answer:  # fmt: skip
                if answer.status >= 500 or answer.status == 429:
                    raise _refusal(url, answer.status, answer.headers)
                if answer.status != 200 or answer.content_type != "application/json":
                    return None
                found = await answer.json()
                return found if isinstance(found, dict) else None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectionError(f"no answer from {url}: {str(error) or type(error).__name__}") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession()
        return self._http

    async def close(self) -> None:
        """Close what is still open."""
        if self._http is not None:
            await self._http.close()
            self._http = None


def _refusal(url: str, status: int, headers: Mapping[str, str] | None) -> BasculeError:
    """A handshake's refusal. aiohttp keeps its status and headers, and not its body."""
    code = _CODE_OF_STATUS.get(status, "internal")
    words = _WORDS_OF_STATUS.get(status, f"refused the connection with status {status}")
    payload: dict[str, Any] = {"code": code, "message": f"{url}: {words}"}
    wait = headers.get("Retry-After", "") if headers else ""
    if wait.isdigit():
        payload["retry_after_ms"] = int(wait) * 1000
    return error_of(payload)


def envelope_of(data: str) -> dict[str, Any] | None:
    """One message of the server's; None for what is no envelope."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("payload", {}), dict) else None
