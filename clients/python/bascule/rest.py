"""Requests over plain HTTP, for what needs no connection of its own to a session: looks, copies, files."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from bascule.errors import BasculeError, ConnectionError, error_of
from bascule.settings import Settings

Json = dict[str, Any]

_CODES: Final = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 429: "rate_limited", 503: "capacity"}


class Rest:
    """Of one server. A context manager: its connections are closed in the end."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._tls = tls

    async def __aenter__(self) -> Rest:
        settings = self._settings
        # What is sent and received may be long: it must go on, however long it takes in all.
        limit = aiohttp.ClientTimeout(sock_connect=settings.connect_timeout_s, sock_read=settings.request_timeout_s)
        headers = {"Authorization": f"Bearer {settings.token}"}
        connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
        self._http = aiohttp.ClientSession(headers=headers, timeout=limit, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def request(self, method: str, path: str, **more: Any) -> aiohttp.client._RequestContextManager:
        """One request; for callers that read the answer piece by piece."""
        url = "http" + self._settings.url.removeprefix("ws") + path
        return self._http.request(method, url, allow_redirects=False, **more)

    async def ask(self, method: str, path: str, **more: Any) -> Json:
        """The answer's JSON object; an empty one where there is none. Raises `BasculeError`."""
        try:
            async with self.request(method, path, **more) as response:
                body = await body_of(response)
        except (aiohttp.ClientError, OSError) as error:
            raise self.unreachable(error) from error
        if not response.ok:
            raise refusal(response, body)
        return body

    def unreachable(self, error: Exception) -> ConnectionError:
        """No answer came, or not all of it."""
        return ConnectionError(
            f"no answer from the server at {self._settings.url}: {str(error) or type(error).__name__}"
        )


async def body_of(response: aiohttp.ClientResponse) -> Json:
    """Its JSON object; empty when it has none and is a refusal, or has no content."""
    try:
        body = await response.json(content_type=None)
    except (ValueError, UnicodeDecodeError):
        body = None
    if isinstance(body, dict):
        return body
    if response.ok and response.status != 204:
        raise BasculeError("the server's answer is no JSON object")
    return {}


def refusal(response: aiohttp.ClientResponse, body: Mapping[str, Any]) -> BasculeError:
    """A problem response as an exception."""
    code = _CODES.get(response.status, "internal")
    return error_of({"code": code, "detail": f"{response.url}: status {response.status}, without a reason", **body})
