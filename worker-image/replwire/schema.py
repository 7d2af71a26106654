"""The JSON Schema (2020-12) of every envelope, made from the tables of this package."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from replwire.errors import ERROR_CODES
from replwire.events import EVENTS, RESULT_FIELDS
from replwire.messages import GENERATION, REQUESTS, Payload, wire_fields

Schema = dict[str, Any]

_PLAIN: Final[dict[object, Schema]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    dict[str, int]: {"type": "object", "additionalProperties": {"type": "integer"}},
}


def type_schema(hint: Any) -> Schema:
    """The schema of one field's type."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if is_dataclass(hint):
        return object_schema(hint)
    return {"anyOf": [type_schema(part) for part in get_args(hint)]}


def payload_schema(request: type[Payload]) -> Schema:
    """The schema of one request's payload; unknown fields are refused."""
    return object_schema(request)


def object_schema(request: Any) -> Schema:
    """The schema of a payload, or of an object within one."""
    hints = get_type_hints(request)
    rows = wire_fields(request)
    meanings = {item.name: item.metadata["meaning"] for item in request.__dataclass_fields__.values()}
    properties = {wire: {**type_schema(hints[name]), "description": meanings[name]} for wire, name, _, _ in rows}
    required = [wire for wire, _, _, needed in rows if needed]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _envelope(type_: str, payload: Schema, *, needed: list[str]) -> Schema:
    properties = {
        "id": {"type": "string", "minLength": 1, "maxLength": 128},
        "type": {"const": type_},
        "payload": payload,
        "timestamp": {"type": "number"},
        "session": {"type": "string"},
        "seq": {"type": "integer"},
        "cursor": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": needed}


def _open_object(fields: dict[str, str]) -> Schema:
    return {"type": "object", "properties": {name: {"description": meaning} for name, meaning in fields.items()}}


def _error_payload() -> Schema:
    fields: Schema = {
        "code": {"enum": list(ERROR_CODES)},
        "message": {"type": "string"},
        "retryable": {"type": "boolean"},
        "retry_after_ms": {"type": "integer"},
        "incident": {"type": "string"},
    }
    return {"type": "object", "properties": fields, "required": ["code", "message", "retryable", "incident"]}


def protocol_schema() -> Schema:
    """Requests, events and terminals, each as a definition; an envelope is one of them."""
    requests = {
        f"request.{name}": _envelope(name, payload_schema(request), needed=["type"])
        for name, request in REQUESTS.items()
    }
    answers = {f"event.{name}": _envelope(name, _open_object(event.fields), needed=["type", "payload", "timestamp"])
               for name, event in EVENTS.items()}  # fmt: skip
    needed = ["id", "type", "payload", "timestamp"]
    answers["terminal.result"] = _envelope("result", _open_object(RESULT_FIELDS), needed=needed)
    answers["terminal.reply"] = _envelope("reply", {"type": "object"}, needed=needed)
    answers["terminal.pong"] = _envelope("pong", {"type": "object"}, needed=needed)
    answers["terminal.error"] = _envelope("error", _error_payload(), needed=needed[1:])
    definitions = requests | answers
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Bascule protocol, generation {GENERATION}",
        "$defs": definitions,
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in definitions],
    }
