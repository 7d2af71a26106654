"""`Idempotency-Key`: the id of the envelope that a POST becomes, so that sending it again does nothing twice."""

from __future__ import annotations

from aiohttp import web

from orchestrator.transports.rest.routes import Route
from replwire.errors import WireError
from replwire.limits import LIMITS

HEADER = "Idempotency-Key"


def key_of(request: web.BaseRequest, route: Route) -> str | None:
    """The key, as a quoted string or as it is; raises `bad_message` for one that can't be an id."""
    text = request.headers.get(HEADER)
    if text is None or not route.takes_key:
        return None
    key = text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
    chars_max = LIMITS["id_chars_max"].default
    if not (1 <= len(key) <= chars_max and key.isascii() and key.isprintable()):
        raise WireError("bad_message", f"a key is 1 to {chars_max} printable ASCII characters", field=HEADER)
    return key
