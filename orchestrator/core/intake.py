"""Strict intake: text from a stranger becomes a typed request, or a `WireError` that says what is wrong.

Structure is checked by pydantic against the classes of `replwire.messages`; sizes against the limits in force.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from orchestrator.core.commits import body_hash
from orchestrator.core.encoding import canonical_bytes
from replwire.envelopes import Json, decode_object
from replwire.errors import WireError
from replwire.messages import (
    REQUESTS,
    Complete,
    Eval,
    Files,
    Fork,
    From,
    Input,
    Inspect,
    IsComplete,
    Open,
    Payload,
    Pin,
    Rewind,
    Unpin,
)  # fmt: skip

_PRINTABLE: Final = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")
PIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""It may stand in an address as it is."""
_STRICT: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _adapter(request: type[Payload]) -> TypeAdapter[Payload]:
    return TypeAdapter(type(request.__name__, (request,), {"__pydantic_config__": _STRICT, "__slots__": ()}))


_ADAPTERS: Final = {name: _adapter(request) for name, request in REQUESTS.items()}
_RENAMED: Final = {
    name: {item.metadata["wire"]: item.name for item in fields(request) if "wire" in item.metadata}
    for name, request in REQUESTS.items()
}


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request. `body` is its payload as the one text that equal payloads share; `hash` is over it."""

    id: str
    type: str
    payload: Payload
    body: bytes
    hash: bytes
    session: str | None


class RefusedMessage(Exception):
    """A message that is no request, with the id to answer under, if it had one that can be used."""

    def __init__(self, id_: str | None, error: WireError) -> None:
        super().__init__(error.message)
        self.id = id_
        self.error = error


def read_request(text: str, limits: Mapping[str, int], fresh_id: Callable[[], str]) -> Request:
    """Validate one message. `fresh_id` names a request whose client sent no id. Raises `RefusedMessage`."""
    try:
        message = decode_object(text, depth_max=limits["depth_max"])
    except WireError as error:
        raise RefusedMessage(None, error) from None
    id_ = None
    try:
        id_ = _checked_id(message["id"] if "id" in message else fresh_id(), limits["id_chars_max"])
        return _checked(id_, message, limits)
    except WireError as error:
        raise RefusedMessage(id_, error) from None


def _checked_id(value: Any, chars_max: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= chars_max or not _PRINTABLE.issuperset(value):
        raise WireError("bad_message", f"id is 1 to {chars_max} printable ASCII characters", field="id")
    return value


def _checked(id_: str, message: Json, limits: Mapping[str, int]) -> Request:
    type_ = message.get("type")
    if not isinstance(type_, str):
        raise WireError("bad_message", "type is a string", field="type")
    if type_ not in _ADAPTERS:
        raise WireError("unknown_type", f"no request of type {type_[:64]!r} is served")
    _check_timestamp(message.get("timestamp", 0))
    session = message.get("session")
    if session is not None and not isinstance(session, str):
        raise WireError("bad_message", "session is a string", field="session")
    raw = message.get("payload", {})
    if not isinstance(raw, dict):
        raise WireError("bad_message", "payload is a JSON object", field="payload")
    body = canonical_bytes(raw)
    payload = _validated(type_, raw, body)
    _check_sizes(payload, limits)
    return Request(id_, type_, payload, body, body_hash(type_, body), session)


def _check_timestamp(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("bad_message", "timestamp is Unix seconds", field="timestamp")


def _validated(type_: str, raw: Json, body: bytes) -> Payload:
    # From JSON, because in strict mode pydantic makes a dataclass from a JSON object but not from a dict.
    renamed = _RENAMED[type_]
    try:
        return _ADAPTERS[type_].validate_json(canonical_bytes(_rename(raw, renamed)) if renamed else body)
    except ValidationError as error:
        raise _explained(error, renamed) from None


def _rename(raw: Json, renamed: Mapping[str, str]) -> Json:
    for attribute in renamed.values():
        if attribute in raw:
            raise WireError("bad_message", f"unknown field {attribute}", field=f"payload.{attribute}")
    return {renamed.get(key, key): value for key, value in raw.items()}


def _explained(error: ValidationError, renamed: Mapping[str, str]) -> WireError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    wire = {attribute: name for name, attribute in renamed.items()}
    path = ".".join(wire.get(str(part), str(part))[:64] for part in first["loc"])
    said = "unknown field" if first["type"] == "unexpected_keyword_argument" else first["msg"]
    return WireError("bad_message", f"{path or 'payload'}: {said}", field=f"payload.{path}" if path else "payload")


def _check_sizes(payload: Payload, limits: Mapping[str, int]) -> None:
    match payload:
        case Eval() | Complete() | Inspect() | IsComplete():
            _at_most(payload.code, limits, "code_bytes_max", "payload.code")
            _check_numbers(payload)
        case Input():
            _at_most(payload.text, limits, "stdin_bytes_max", "payload.text")
        case Files():
            _at_most(payload.data or "", {"file_bytes_max": limits["file_bytes_max"] * 4 // 3 + 4}, "file_bytes_max",
                     "payload.data")  # fmt: skip
            _check_place(payload)
        case Open():
            _check_open(payload)
        case Rewind() | Fork() | Pin() | Unpin():
            _check_state(payload)
        case _:
            pass


def _at_most(text: str, limits: Mapping[str, int], name: str, field: str) -> None:
    # Only a text that could be over the limit is encoded to count its bytes.
    if len(text) * 4 > limits[name] and len(text.encode("utf-8")) > limits[name]:
        raise WireError("too_large", f"{field} is over {limits[name]} bytes", field=field, limit=name)


def _check_numbers(payload: Eval | Complete | Inspect | IsComplete) -> None:
    if isinstance(payload, Eval):
        if payload.timeout_s is not None and not 0 < payload.timeout_s <= 1e6:
            raise WireError("bad_message", "timeout_s is a positive number of seconds", field="payload.timeout_s")
        if payload.if_seq is not None and not 0 <= payload.if_seq < 2**62:
            raise WireError("bad_message", "if_seq is a seq", field="payload.if_seq")
    elif isinstance(payload, Complete | Inspect) and not 0 <= payload.cursor <= len(payload.code):
        raise WireError("bad_message", "cursor is an offset into code", field="payload.cursor")


def _check_place(payload: Files) -> None:
    for name, value in (("offset", payload.offset), ("length", payload.length)):
        if value is not None and not 0 <= value < 2**62:
            raise WireError("bad_message", f"{name} is a count of bytes", field=f"payload.{name}")


def _check_open(payload: Open) -> None:
    if payload.language not in (None, "python"):
        raise WireError("bad_message", "only `python` is served", field="payload.language")
    _check_name(payload.name)
    if payload.origin is not None:
        _check_origin(payload.origin)
    if payload.idle_timeout_s is not None and not payload.idle_timeout_s > 0:
        raise WireError("bad_message", "idle_timeout_s is positive", field="payload.idle_timeout_s")


def _check_name(name: str | None) -> None:
    if name is not None and not (1 <= len(name) <= 128 and name.isprintable()):
        raise WireError("bad_message", "name is 1 to 128 printable characters", field="payload.name")


def _check_origin(origin: From) -> None:
    if origin.seq is not None and origin.pin is not None:
        raise WireError("bad_message", "from names a seq or a pin, not both", field="payload.from")
    _check_seq(origin.seq, "payload.from.seq")
    if origin.pin is not None:
        _check_pin(origin.pin, "payload.from.pin")


def _check_state(payload: Rewind | Fork | Pin | Unpin) -> None:
    if not isinstance(payload, Unpin):
        _check_seq(payload.seq, "payload.seq")
    if isinstance(payload, Pin | Unpin):
        _check_pin(payload.name, "payload.name")
    elif isinstance(payload, Fork):
        _check_name(payload.name)


def _check_seq(seq: int | None, field: str) -> None:
    if seq is not None and not 1 <= seq < 2**53:
        raise WireError("bad_message", "seq is the number of a state, from 1 on", field=field)


def _check_pin(name: str, field: str) -> None:
    if not PIN_NAME.fullmatch(name):
        words = "a pin's name is 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"
        raise WireError("bad_message", words, field=field)
