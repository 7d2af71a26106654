"""The list of sessions over HTTP: pages, and refusals in the client's own exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bascule.errors import AuthenticationError, BasculeError, ConnectionError, NotFoundError
from bascule.settings import Settings
from bascule.terminal.overview import get_session, list_sessions

SESSIONS = [{"session": f"ses_{n}", "seq": n} for n in range(250)]


class Listing:
    """What `/v1/sessions` says, as the protocol has it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def page(self, request: web.Request) -> web.Response:
        """`limit` of them after `cursor`."""
        self.asked.append(request.query_string)
        if request.headers["Authorization"] != "Bearer key":
            return problem(401, "unauthenticated", "no valid token")
        first, limit = int(request.query.get("cursor", 0)), int(request.query["limit"])
        last = first + limit
        return web.json_response({"items": SESSIONS[first:last], "next_cursor": str(last) if last < 250 else None})

    async def one(self, request: web.Request) -> web.Response:
        """One of them."""
        if request.match_info["id"] == "odd":
            return web.Response(text="<html>", content_type="text/html")
        return problem(404, "not_found", "no such session")


def problem(status: int, code: str, detail: str) -> web.Response:
    """RFC 9457."""
    return web.json_response({"code": code, "detail": detail}, status=status, content_type="application/problem+json")


@pytest.fixture
async def listing() -> AsyncIterator[tuple[Listing, str]]:
    """A server, and where it is."""
    made, app = Listing(), web.Application()
    app.router.add_get("/v1/sessions", made.page)
    app.router.add_get("/v1/sessions/{id}", made.one)
    async with TestServer(app) as server:
        yield made, f"ws://127.0.0.1:{server.port}"


async def test_pages_are_asked_for_until_there_are_enough(listing: tuple[Listing, str]):
    """Or until there are no more."""
    made, url = listing
    assert await list_sessions(Settings("key", url), 150) == SESSIONS[:150]
    assert made.asked == ["limit=100", "limit=50&cursor=100"]
    assert await list_sessions(Settings("key", url), 1000) == SESSIONS


async def test_refusals_are_the_clients_exceptions(listing: tuple[Listing, str]):
    """By the code of the problem."""
    _, url = listing
    with pytest.raises(AuthenticationError, match="no valid token"):
        await list_sessions(Settings("other", url), 1)
    with pytest.raises(NotFoundError, match="no such session"):
        await get_session(Settings("key", url), "ses_9")
    with pytest.raises(BasculeError, match="no JSON object"):
        await get_session(Settings("key", url), "odd")
    with pytest.raises(ConnectionError, match="no answer from the server"):
        await list_sessions(Settings("key", "ws://127.0.0.1:1"), 1)


async def test_a_server_without_the_list_says_so(listing: tuple[Listing, str]):
    """An address that is not served is no session that is not there."""
    _, url = listing
    with pytest.raises(NotFoundError, match="status 404"):
        await list_sessions(Settings("key", url + "/elsewhere"), 1)
