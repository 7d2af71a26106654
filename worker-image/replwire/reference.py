"""`python -m replwire.reference [--check] [FOLDER]`: writes the generated pages, or fails when they are stale."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from replwire.errors import CLOSE_CODES, ERROR_CODES
from replwire.events import EVENTS, RESULT_FIELDS
from replwire.limits import LIMITS
from replwire.messages import (
    GENERATION,
    REQUESTS,
    SUBPROTOCOL,
    Payload,
    terminal_type,
    wire_fields,
)
from replwire.schema import protocol_schema

FOLDER: Final = Path("docs/reference")

_HEAD: Final = f"""# Protocol, generation {GENERATION}

<!-- Made from the tables of `replwire` by `python -m replwire.reference`. Change those, not this page. -->

JSON envelopes, one WebSocket text message each; subprotocol `{SUBPROTOCOL}` is offered and not required.

```json
{{"id": "0b0f", "type": "eval", "payload": {{"code": "x = sum(range(5)); x"}}, "timestamp": 1730847625}}
{{"id": "0b0f", "type": "result", "payload": {{"output": "10", "stdout": "", "stderr": ""}}, "timestamp": 1730847625.1}}
```

`id` is chosen by the client and echoed in every envelope that answers it; a client that sends none gets one made for
it. Events may come first; then exactly one terminal (`result`, `reply`, `pong` or `error`) ends the request. The same
id with the same body joins or repeats the stored answer; with another body it is a `conflict`.

Unknown fields of an envelope are ignored, unknown fields of a payload are refused. A connection that neither sent
`open` or `attach`, nor asked for the subprotocol, nor named a session in its address, hears answers and output only:
no `status`, `rolled_back`, `committed` or `going_away`, so that the plainest client stays in step.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _request(name: str, request: type[Payload]) -> str:
    meanings = {item.name: item.metadata["meaning"] for item in request.__dataclass_fields__.values()}
    rows: list[tuple[str, ...]] = []
    for wire, attribute, kind, needed in wire_fields(request):
        rows.append((f"`{wire}`", f"`{kind}`", "yes" if needed else "", meanings[attribute]))
        rows += _inner(wire, get_type_hints(request)[attribute])
    table = "\n" + _table(("field", "type", "required", "meaning"), rows) if rows else ""
    return f"### `{name}` → `{terminal_type(name)}`\n\n{(request.__doc__ or '').strip()}\n{table}"


def _inner(wire: str, hint: Any) -> list[tuple[str, ...]]:
    """The fields of an object within a payload."""
    kinds: list[Any] = [kind for kind in get_args(hint) if is_dataclass(kind)]
    return [
        (f"`{wire}.{name}`", f"`{annotation}`", "yes" if needed else "",
         kind.__dataclass_fields__[attribute].metadata["meaning"])
        for kind in kinds
        for name, attribute, annotation, needed in wire_fields(kind)
    ]  # fmt: skip


def _requests() -> str:
    return "## Requests\n\n" + "\n".join(_request(name, request) for name, request in REQUESTS.items())


def _events() -> str:
    rows = [
        (f"`{event.name}`", ", ".join(f"`{name}`: {text}" for name, text in event.fields.items()), event.meaning)
        for event in EVENTS.values()
    ]
    return "## Events\n\n" + _table(("event", "payload", "meaning"), rows)


def _result() -> str:
    rows = [(f"`{name}`", text) for name, text in RESULT_FIELDS.items()]
    return "## Payload of `result`\n\n" + _table(("field", "meaning"), rows)


def _errors() -> str:
    intro = (
        "Payload: `code`, `message`, `retryable`, `incident`, and where they apply `retry_after_ms`, `field`, `limit`, "
        "`seq`, `generation`.\n\n"
    )
    rows = [(f"`{row.name}`", "yes" if row.retryable else "", row.state, row.meaning) for row in ERROR_CODES.values()]
    closes = [(str(row.code), row.meaning) for row in CLOSE_CODES]
    return (
        "## Errors\n\n" + intro + _table(("code", "retry helps", "state afterwards", "meaning"), rows)
        + "\n## WebSocket close codes\n\n" + _table(("code", "when"), closes)
    )  # fmt: skip


def _limits() -> str:
    rows = [(f"`{row.name}`", str(row.default), row.meaning) for row in LIMITS.values()]
    return "## Limits\n\nThe unit is the end of the name. Each is a setting.\n\n" + _table(
        ("limit", "default", "meaning"), rows
    )


def pages() -> dict[str, str]:
    """The generated files by name."""
    protocol = "\n".join((_HEAD, _requests(), _events(), _result(), _errors(), _limits()))
    return {
        "protocol.md": protocol,
        "protocol.schema.json": json.dumps(protocol_schema(), indent=1, ensure_ascii=False) + "\n",
    }


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check`, say which are stale and return 1."""
    folder = Path(next((word for word in arguments if not word.startswith("-")), str(FOLDER)))
    stale = [name for name, text in pages().items() if not _holds(folder / name, text)]
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"{folder / name} is stale: run `python -m replwire.reference`\n")
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (folder / name).write_text(pages()[name], encoding="utf-8")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
