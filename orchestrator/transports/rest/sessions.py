"""Sessions: opened, listed, looked at, closed; their names and their journal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

from aiohttp import web

from orchestrator.transports.problems import problem
from orchestrator.transports.rest.bodies import HttpFault, read_object
from orchestrator.transports.rest.call import Call, RefusedError
from orchestrator.transports.rest.queries import HistoryQuery, PageQuery, VariablesQuery
from replwire.errors import WireError

if TYPE_CHECKING:
    from replwire.envelopes import Json

HISTORY_CURSOR = "seq-"
"""What a cursor of the journal begins with."""


async def page(call: Call) -> web.StreamResponse:
    """A page of the tenant's sessions."""
    query = cast(PageQuery, call.query)
    return call.answer(await call.host.overview.page(call.principal, query.limit, query.cursor))


async def open_(call: Call) -> web.StreamResponse:
    """A new session, or the one that the same key opened before."""
    return await made(call, "open", await read_object(call.request, call.config.body_timeout_s))


async def made(call: Call, type_: str, body: Json) -> web.StreamResponse:
    """Ask for a session that is new; it is the same one for the same key."""
    try:
        said = await call.ask(type_, body)
    except RefusedError as error:
        if error.payload["code"] != "conflict":
            raise
        raise other_body(error.payload["incident"]) from None
    return located(call, said)


def other_body(incident: str | None = None) -> HttpFault:
    """Of a request that made a session before."""
    return HttpFault(problem(422, "conflict", "this Idempotency-Key came with another body", incident=incident))


def located(call: Call, said: Json) -> web.StreamResponse:
    """The answer that says where the new session is."""
    return call.answer(said, headers={"Location": f"/v1/sessions/{said['session']}"})


async def look(call: Call) -> web.StreamResponse:
    """What is known of it."""
    return call.answer(await call.host.overview.session(call.principal, call.session))


async def close(call: Call) -> web.StreamResponse:
    """End it; one that has ended is gone."""
    await call.ask("close", {})
    return call.nothing()


async def variables(call: Call) -> web.StreamResponse:
    """Names in the namespace."""
    query = cast(VariablesQuery, call.query)
    return call.answer(await call.ask("variables", {} if query.prefix is None else {"prefix": query.prefix}))


async def history(call: Call) -> web.StreamResponse:
    """A page of the journal."""
    query = cast(HistoryQuery, call.query)
    first = max(1, query.first if query.cursor is None else _first_of(query.cursor))
    last = first + query.limit - 1 if query.last is None else min(query.last, first + query.limit - 1)
    said = await call.ask("history", {"from": first, "to": last})
    return call.answer(_page(said, first, last, query.last))


def _page(said: Json, first: int, last: int, wanted: int | None) -> Json:
    """A reply is cut where it would be too large: what comes after its last entry is on the next page."""
    entries, end = said["entries"], said["seq"] if wanted is None else min(wanted, said["seq"])
    reached = entries[-1]["seq"] if entries else last
    cursor = f"{HISTORY_CURSOR}{reached + 1}" if first <= reached < end else None
    kept = {"states": said["states"], "pins": said["pins"]}
    return {"items": entries, "next_cursor": cursor, "seq": said["seq"], **kept}


def _first_of(cursor: str) -> int:
    digits = cursor.removeprefix(HISTORY_CURSOR)
    with contextlib.suppress(ValueError):
        if cursor.startswith(HISTORY_CURSOR) and digits.isascii() and digits.isdigit() and len(digits) <= 15:
            return int(digits)
    raise WireError("bad_message", "this cursor is not one of ours", field="cursor")
