"""Evals and what happens while they run: results, events, interrupts, and the questions that an editor asks."""

from __future__ import annotations

from typing import cast

from aiohttp import web

from orchestrator.transports.headers import put_on
from orchestrator.transports.rest.bodies import read_object
from orchestrator.transports.rest.call import Call
from orchestrator.transports.rest.events import EVENT_STREAM, EventChannel
from orchestrator.transports.rest.queries import EventsQuery
from replwire.envelopes import Json

CURSOR_CHARS_MAX = 64


async def run(call: Call) -> web.StreamResponse:
    """Run code: one answer at the end, or its events as they come."""
    body = await read_object(call.request, call.config.body_timeout_s)
    if call.accepted == EVENT_STREAM:
        body.setdefault("stream", True)
        return await _stream(call, call.envelope("eval", body), ends=True)
    result = await call.ask("eval", body)
    place = f"/v1/sessions/{call.session}/evals/{call.id}"
    headers = {} if "/" in call.id or '"' in call.id else {"Content-Location": place}
    return call.answer({"id": call.id, "status": "done", "result": result}, headers=headers)


async def outcome(call: Call) -> web.StreamResponse:
    """How one ended."""
    request_id = call.place.holes["request_id"]
    return call.answer(await call.host.overview.outcome(call.principal, call.session, request_id))


async def listen(call: Call) -> web.StreamResponse:
    """Events of the session since a cursor; who may only watch is an observer."""
    if call.is_head:
        return web.Response(status=200, headers={"Cache-Control": "no-store", "Content-Type": EVENT_STREAM})
    cursor = call.request.headers.get("Last-Event-ID") or cast(EventsQuery, call.query).cursor
    payload: Json = {"session": call.session, "role": "observer" if "observe" in call.principal.scopes else "driver"}
    if cursor:
        payload["cursor"] = cursor[: CURSOR_CHARS_MAX + 1]
    return await _stream(call, call.envelope("attach", payload), ends=False)


async def _stream(call: Call, request: Json, *, ends: bool) -> web.StreamResponse:
    async def begin() -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "Cache-Control": "no-store"})
        # nginx keeps what it passes on in a buffer unless it is told not to.
        put_on(response)
        response.headers.update({**call.more_headers, "X-Accel-Buffering": "no"})
        await response.prepare(call.request)
        return response

    return await call.listen(EventChannel(request, begin, call.config.channel, ends=ends))


async def pass_on(call: Call) -> web.StreamResponse:
    """Any request whose body is the payload and whose reply is the answer."""
    assert call.route.request is not None
    return call.answer(await call.ask(call.route.request, await read_object(call.request, call.config.body_timeout_s)))
