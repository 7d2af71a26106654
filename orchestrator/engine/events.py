"""An agent's EVENT frames as envelopes for clients."""

from __future__ import annotations

import struct
from typing import Final

from orchestrator.core.encoding import to_text
from orchestrator.core.outcomes import ProtocolBreach, read_object, text_of
from replwire.cursors import Cursor
from replwire.envelopes import Json, envelope
from replwire.errors import ERROR_CODES
from replwire.frames import EVENT_HEAD, EVENT_OVERHEAD_BYTES, EventKind, Frame

_STREAMS: Final = {EventKind.STDOUT: "stdout", EventKind.STDERR: "stderr"}
_ROLLED_BACK: Final = "rolled_back"

_TYPES: Final = {
    EventKind.DISPLAY: ("display", frozenset({"data", "metadata", "display_id", "update"})),
    EventKind.CLEAR_OUTPUT: ("clear_output", frozenset({"wait"})),
    EventKind.INPUT_REQUEST: ("input_request", frozenset({"prompt", "password"})),
    EventKind.ROLLED_BACK: (_ROLLED_BACK, frozenset({"to", "cause"})),
}


def event_envelope(frame: Frame, generation: int, now: float) -> tuple[int, str, int, bool]:
    """Number of the event, its envelope as text, the bytes of credit that it costs, and whether it is about the
    session's own life and no output. Raises `ProtocolBreach`."""
    try:
        head, id_, body = frame.parts
        number, _seq, kind = EVENT_HEAD.unpack(head)
        request_id = id_.decode("ascii")
    except (struct.error, ValueError) as error:
        raise ProtocolBreach(f"a malformed event: {error}") from None
    type_, payload = _payload(kind, body)
    if is_ours := type_ == _ROLLED_BACK:
        payload = _undone(payload, generation)
    said = envelope(type_, payload, now, id_=request_id or None, cursor=str(Cursor(generation, number)))
    return number, to_text(said), len(body) + EVENT_OVERHEAD_BYTES, is_ours


def _undone(said: Json, generation: int) -> Json:
    """In the midst of a generation: a shadow took over."""
    to, cause = said.get("to"), said.get("cause")
    if type(to) is not int or to < 0 or cause not in ERROR_CODES:
        raise ProtocolBreach("a malformed word about what did not happen")
    return {"to": to, "cause": cause, "generation": generation}


def _payload(event: int, body: bytes) -> tuple[str, Json]:
    if event in _STREAMS:
        return "stream", {"name": _STREAMS[event], "text": text_of(body)}
    if event not in _TYPES:
        raise ProtocolBreach(f"an event of kind {event}")
    type_, fields = _TYPES[event]
    payload = read_object(body)
    if not fields.issuperset(payload):
        raise ProtocolBreach(f"a {type_} event with fields of its own")
    return type_, payload
