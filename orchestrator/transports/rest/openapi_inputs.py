"""What goes into each operation, for the OpenAPI document: parameters, header fields, bodies."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.core.intake import PIN_NAME
from orchestrator.transports.rest.keys import HEADER
from orchestrator.transports.rest.models import SESSION_PATTERN
from orchestrator.transports.rest.routes import JSON, OCTETS, ROUTES, Route
from replwire.limits import LIMITS, OF_TENANT
from replwire.messages import REQUESTS
from replwire.schema import payload_schema

Schema = dict[str, Any]

_BOUNDS: Final[dict[tuple[str, str], Schema]] = {
    ("eval", "timeout_s"): {"exclusiveMinimum": 0, "maximum": 1e6},
    ("eval", "if_seq"): {"minimum": 0, "exclusiveMaximum": 2**53},
    ("open", "name"): {"minLength": 1, "maxLength": 128},
    ("open", "idle_timeout_s"): {"exclusiveMinimum": 0},
    ("open", "language"): {"enum": ["python", None]},
    ("open", "limits"): {
        "propertyNames": {"enum": [name for name in LIMITS if name not in OF_TENANT]},
        "additionalProperties": {"type": "integer", "minimum": 0},
    },
    ("rewind", "seq"): {"minimum": 1, "exclusiveMaximum": 2**53},
    ("fork", "seq"): {"minimum": 1, "exclusiveMaximum": 2**53},
    ("fork", "name"): {"minLength": 1, "maxLength": 128},
    ("pin", "seq"): {"minimum": 1, "exclusiveMaximum": 2**53},
    ("complete", "cursor"): {"minimum": 0},
    ("inspect", "cursor"): {"minimum": 0},
}
"""What the intake asks beyond types, where a schema can say it."""

IN_ADDRESS: Final = {"pin": "name"}
"""Fields that are no part of a body, because they stand in the address."""


def holes(template: str) -> list[Schema]:
    """The parameters that stand in an address."""
    known: dict[str, Schema] = {
        "session": {"type": "string", "pattern": SESSION_PATTERN},
        "request_id": {"type": "string", "minLength": 1, "maxLength": LIMITS["id_chars_max"].default},
        "path": {"type": "string", "minLength": 1},
        "name": {"type": "string", "pattern": f"^{PIN_NAME.pattern}$"},
    }
    meanings = {
        "session": "id of the session",
        "request_id": "id of the eval: its `Idempotency-Key`, or the one that was made for it",
        "name": "of the pin",
        "path": "relative to the working folder; slashes stand as they are",
    }
    names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "description": meanings[name], "schema": known[name]}
        for name in names
    ]


def query(route: Route) -> list[Schema]:
    """The parameters behind the question mark."""
    schema = route.query.model_json_schema(by_alias=True)
    found = []
    for name, about in schema.get("properties", {}).items():
        meaning = about.pop("description")
        about.pop("title")
        found.append({"name": name, "in": "query", "description": meaning, "schema": _without_null(about)})
    return found


def _without_null(about: Schema) -> Schema:
    """A parameter is left out rather than null."""
    parts = [part for part in about.pop("anyOf", []) if part != {"type": "null"}]
    if about.get("default", 0) is None:
        del about["default"]
    return {**(parts[0] if parts else {}), **about}


def headers(route: Route) -> list[Schema]:
    """The header fields that mean something."""
    key = {"type": "string", "minLength": 1, "maxLength": LIMITS["id_chars_max"].default}
    rows: list[tuple[bool, str, str, Schema]] = [
        (route.takes_key, HEADER, "sending the same again does nothing twice", key),
        (route.template.endswith("/events"), "Last-Event-ID", "the last cursor seen", {"type": "string"}),
        (route.name == "readFile", "Range", "a part of the file", {"type": "string"}),
        (route.name == "readFile", "If-None-Match", "304 when the file has this ETag still", {"type": "string"}),
        (route.name == "readFile", "If-Range", "the part only when the file has this ETag still", {"type": "string"}),
        (bool(route.takes_file), "Content-Digest", "`sha-256=:…:` of the bytes; checked", {"type": "string"}),
    ]
    return [
        {"name": name, "in": "header", "description": meaning, "schema": schema}
        for applies, name, meaning, schema in rows
        if applies
    ]


def request_body(route: Route) -> Schema:
    """The body that a route takes."""
    if route.request is None:
        return {"required": False, "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
    needed = bool(body_schema(route.request).get("required"))
    return {
        "required": needed,
        "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{body_name(route.request)}"}}},
    }


def bodies() -> list[str]:
    """The envelopes whose payloads are bodies."""
    return sorted({route.request for route in ROUTES if route.request is not None})


def body_name(request: str) -> str:
    """Of a body among the schemas."""
    return f"{REQUESTS[request].__name__}Request"


def body_schema(request: str) -> Schema:
    """Of the payload of an envelope, as strict as the intake."""
    schema = payload_schema(REQUESTS[request])
    if (named := IN_ADDRESS.get(request)) is not None:
        del schema["properties"][named]
        schema["required"].remove(named)
    for name, about in schema["properties"].items():
        about.update(_BOUNDS.get((request, name), {}))
        if "enum" in about:
            about.pop("anyOf", None)
    if not schema["required"]:
        del schema["required"]
    return {**schema, "description": (REQUESTS[request].__doc__ or "").strip()}
