"""Sessions as the server lists them, over HTTP: looking at them wakes none."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import aiohttp

from bascule.errors import BasculeError, ConnectionError, error_of
from bascule.settings import Settings

PAGE: Final = 100
"""Sessions asked for at once."""

Json = dict[str, Any]


async def list_sessions(settings: Settings, at_most: int) -> list[Json]:
    """The tenant's own, the newest first. Raises `BasculeError`."""
    found: list[Json] = []
    cursor: str | None = None
    async with _http(settings) as http:
        while len(found) < at_most:
            query = {"limit": str(min(PAGE, at_most - len(found)))} | ({"cursor": cursor} if cursor else {})
            page = await _get(http, settings, "/v1/sessions", query)
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
    return found


async def get_session(settings: Settings, session: str) -> Json:
    """What is known of one. Raises `NotFoundError`, `BasculeError`."""
    async with _http(settings) as http:
        return await _get(http, settings, f"/v1/sessions/{quote(session, safe='')}", {})


def _http(settings: Settings) -> aiohttp.ClientSession:
    limit = aiohttp.ClientTimeout(total=settings.request_timeout_s, sock_connect=settings.connect_timeout_s)
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {settings.token}"}, timeout=limit)


async def _get(http: aiohttp.ClientSession, settings: Settings, path: str, query: dict[str, str]) -> Json:
    url = "http" + settings.url.removeprefix("ws") + path
    try:
        async with http.get(url, params=query, allow_redirects=False) as response:
            body = await _body(response)
    except (aiohttp.ClientError, OSError) as error:
        raise ConnectionError(f"no answer from the server at {settings.url}: {error}") from error
    if response.status != 200:
        code = _CODES.get(response.status, "internal")
        raise error_of({"code": code, "detail": f"{url}: status {response.status}, without a reason", **body})
    return body


_CODES: Final = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 429: "rate_limited", 503: "capacity"}


async def _body(response: aiohttp.ClientResponse) -> Json:
    try:
        body = await response.json(content_type=None)
    except (ValueError, UnicodeDecodeError):
        body = None
    if isinstance(body, dict):
        return body
    if response.status == 200:
        raise BasculeError("the server's answer is no JSON object")
    return {}
