"""`/openapi.json`: made from the route table, the tables of `replwire` and the models, so that it cannot drift.

`python -m orchestrator.transports.rest.openapi [--check] [FILE]` writes the copy in the docs, or says that it is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from orchestrator.transports.problems import PROBLEM_TYPE, STATUS_OF
from orchestrator.transports.rest import models
from orchestrator.transports.rest.events import EVENT_STREAM
from orchestrator.transports.rest.openapi_inputs import (
    Schema,
    bodies,
    body_name,
    body_schema,
    headers,
    holes,
    query,
    request_body,
)
from orchestrator.transports.rest.routes import JSON, OCTETS, ROUTES, Route
from replwire.messages import GENERATION

FILE: Final = Path("docs/reference/openapi.json")
VERSION: Final = f"{GENERATION}.0"

_NEVER: Final = frozenset({404, 405, 426})
"""Statuses that need another address or method, or a parameter in the address."""
_MAKING: Final = frozenset({"openSession", "forkSession", "importSession"})
"""A key that comes again with another body is their own kind of fault."""
_UNLESS_BODY: Final = frozenset({408, 411, 415})


@cache
def document_text() -> str:
    """As it is served, and as it lies in the docs."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> Schema:
    """The OpenAPI document, version 3.1."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    for template, item in paths.items():
        if found := holes(template):
            item["parameters"] = found
    schemas = _model_schemas() | {body_name(name): body_schema(name) for name in bodies()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bascule",
            "version": VERSION,
            "description": "A REPL as a service. Each operation is one message of the protocol; errors have its codes.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(route: Route) -> Schema:
    found: Schema = {"operationId": route.name, "summary": route.summary, "tags": [_tag(route.template)]}
    if parameters := [*query(route), *headers(route)]:
        found["parameters"] = parameters
    if route.takes_body:
        found["requestBody"] = request_body(route)
    if route.is_public:
        found["security"] = []
    found["responses"] = {**_answers(route), **_problems(route)}
    return found


def _tag(template: str) -> str:
    words = template.split("/")
    return words[4].replace("_", " ") if len(words) > 4 else "sessions" if "sessions" in words else "server"


# --- what comes out -------------------------------------------------------------------------------------------------


def _answers(route: Route) -> Schema:
    if route.status == 204:
        return {"204": {"description": "it is done"}}
    kinds = {JSON: _json_answer(route), OCTETS: {"type": "string", "format": "binary"}, EVENT_STREAM: _EVENTS}
    content = {kind: {"schema": kinds[kind]} for kind in route.produces}
    found: Schema = {str(route.status): {"description": "as asked", "content": content}}
    if route.name == "readFile":
        found["206"] = {"description": "the part that `Range` names", "content": content}
        found["304"] = {"description": "it has this ETag still"}
    return found


_EVENTS: Final[Schema] = {
    "type": "string",
    "description": "server-sent events: `id` is the cursor, `event` the type, `data` the envelope of the protocol",
}


def _json_answer(route: Route) -> Schema:
    return _ref(route.answer.__name__) if route.answer is not None else {"type": "object", "additionalProperties": True}


def _problems(route: Route) -> Schema:
    if route.is_public:
        return {}
    left_out = set(_NEVER) | (set() if route.takes_body else set(_UNLESS_BODY))
    if "{" in route.template or route.name in _MAKING:
        left_out.discard(404)
    if route.name != "readFile":
        left_out.add(416)
    codes: dict[int, list[str]] = {}
    for code, status in STATUS_OF.items():
        if status not in left_out:
            codes.setdefault(status, []).append(code)
    if route.name in _MAKING:
        codes[422].append("conflict")
    return {str(status): _problem(names) for status, names in sorted(codes.items())}


def _problem(names: Iterable[str]) -> Schema:
    words = ", ".join(f"`{name}`" for name in names)
    return {"description": words, "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _model_schemas() -> Schema:
    wanted = {route.answer for route in ROUTES if route.answer is not None} | {models.Problem}
    pairs = [(model, "serialization") for model in sorted(wanted, key=lambda model: model.__name__)]
    _, found = models_json_schema(pairs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: Schema = found["$defs"]
    return {name: _plain(schema) for name, schema in sorted(schemas.items())}


def _plain(schema: Any) -> Any:
    """Without the titles that only repeat names, and with absent fields rather than null ones as defaults."""
    if isinstance(schema, dict):
        return {
            key: _plain(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
        }
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


def main(arguments: list[str]) -> int:
    """Write the file; with `--check`, say whether it is stale and return 1."""
    file = Path(next((word for word in arguments if not word.startswith("-")), str(FILE)))
    is_fresh = file.is_file() and file.read_text(encoding="utf-8") == document_text()
    if "--check" in arguments:
        if not is_fresh:
            sys.stderr.write(f"{file} is stale: run `python -m orchestrator.transports.rest.openapi`\n")
        return 0 if is_fresh else 1
    if not is_fresh:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
