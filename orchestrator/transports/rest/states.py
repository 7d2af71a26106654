"""The states of a session: gone back to, copied, kept under names."""

from __future__ import annotations

from aiohttp import web

from orchestrator.transports.rest.bodies import read_object
from orchestrator.transports.rest.call import Call
from orchestrator.transports.rest.sessions import made
from replwire.envelopes import Json
from replwire.errors import WireError


async def rewind(call: Call) -> web.StreamResponse:
    """Go back to a state."""
    return call.answer(await call.ask("rewind", await _body(call)))


async def fork(call: Call) -> web.StreamResponse:
    """A copy of the session, or the one that the same key made before."""
    return await made(call, "fork", await _body(call))


async def pins(call: Call) -> web.StreamResponse:
    """Those with a name, and the last ones."""
    # A journal of no entries: what is kept stands beside it.
    said = await call.ask("history", {"from": 1, "to": 0})
    return call.answer({"items": said["pins"], "states": said["states"]})


async def pin(call: Call) -> web.StreamResponse:
    """Keep a state under the name; one that has it lets go of it."""
    body = await _body(call)
    if "name" in body:
        raise WireError("bad_message", "the name stands in the address", field="name")
    return call.answer(await call.ask("pin", {**body, "name": call.place.holes["name"]}))


async def unpin(call: Call) -> web.StreamResponse:
    """Let go of the name."""
    await call.ask("unpin", {"name": call.place.holes["name"]})
    return call.nothing()


async def _body(call: Call) -> Json:
    return await read_object(call.request, call.config.body_timeout_s)
