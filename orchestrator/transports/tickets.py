"""`POST /v1/tickets`: a one-time ticket for a token in the header; a browser puts it into a WebSocket's address."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from orchestrator.ports import TicketOffice
from orchestrator.transports.problems import problem
from orchestrator.transports.proving import CHALLENGE, Prover
from replwire.envelopes import encode
from replwire.errors import WireError

PATH: Final = "/v1/tickets"


class TicketDesk:
    """Answers of one server."""

    def __init__(self, prover: Prover, office: TicketOffice) -> None:
        self._prover = prover
        self._office = office

    def answer(self, request: web.BaseRequest) -> web.Response:
        """`{"ticket", "expires_in_s"}`; raises `Refusal`."""
        if (refused := _refused_form(request)) is not None:
            refused.force_close()
            return refused
        guest = self._prover.by_token(request)
        try:
            ticket, expires_in_s = self._office.issue(guest.principal)
        except WireError as error:
            return problem(401, error.code, error.message, headers={"WWW-Authenticate": CHALLENGE})
        body = encode({"ticket": ticket, "expires_in_s": expires_in_s})
        return web.Response(text=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _refused_form(request: web.BaseRequest) -> web.Response | None:
    if request.method != "POST":
        return problem(405, "method_not_allowed", "only POST is served here", headers={"Allow": "POST"})
    if "Content-Encoding" in request.headers:
        return problem(415, "unsupported_encoding", "no content encoding is served")
    return problem(413, "too_large", "a request here has no body") if request.body_exists else None
