"""Logs: one line an event, as JSON where no person is watching, and never a tenant's code, output or a token.

Event names are two words, a noun and a past participle ("session opened"); facts are keys.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

FIELD_CHARS_MAX: Final = 1024
"""Of one field; the rest is cut with a mark."""
TRACEBACK_CHARS_MAX: Final = 8192
"""Of a traceback, whose end says most: its beginning is cut."""
FIELDS_MAX: Final = 32
"""Facts of one event; further ones are dropped."""
TALKATIVE: Final = "aiohttp.websocket"
"""Logs the subprotocols that a stranger offers, before any token was looked at; some clients put their token there."""
LEVELS: Final = ("debug", "info", "warning", "error")

Event = MutableMapping[str, Any]

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ALWAYS: Final = frozenset({"event", "exception", "level", "logger", "timestamp"})
_PRIVATE: Final = frozenset(
    {
        *("api_key", "authorization", "cookie", "dev_token", "password", "seal_key", "secret", "stamp_key", "token"),
        *("body", "data", "input", "output", "payload", "source", "stderr", "stdin", "stdout", "text", "value"),
    }
)
"""Fields that could hold what a tenant wrote, or a secret. They are dropped, whoever logs them by mistake."""


def configure_logs(level: str = "info", *, stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Set up this process' logs: ours and those of the libraries. `as_json` None: unless the stream is a terminal."""
    target = stream or sys.stderr
    json_wanted = not target.isatty() if as_json is None else as_json
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(json_wanted))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("bascule").setLevel(threshold)
    logging.getLogger(TALKATIVE).setLevel(logging.CRITICAL)


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        drop_private,
        cut_fields,
    ]


def _formatter(as_json: bool) -> logging.Formatter:
    renderer: Processor = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=_processors(),
    )


def drop_private(_logger: object, _method: str, event: Event) -> Event:
    """A processor: fields that may not be in a log are dropped, and which ones is said."""
    dropped = sorted(_PRIVATE.intersection(event))
    for name in dropped:
        del event[name]
    if dropped:
        event["dropped"] = ",".join(dropped)
    return event


def cut_fields(_logger: object, _method: str, event: Event) -> Event:
    """A processor: control characters become escapes, long fields are cut, values become plain."""
    for name in [name for name in event if name not in _ALWAYS and name[0] != "_"][FIELDS_MAX:]:
        del event[name]
    for name, value in event.items():
        if name.startswith("_") or value is None or isinstance(value, (bool, int, float)):
            continue
        event[name] = _cut_traceback(str(value)) if name == "exception" else safe_text(str(value))
    return event


def safe_text(text: str, chars_max: int = FIELD_CHARS_MAX) -> str:
    """Text that cannot forge a line or move a terminal's cursor, no longer than the limit."""
    if len(text) > chars_max:
        text = f"{text[:chars_max]}… ({len(text) - chars_max} more)"
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def _cut_traceback(text: str) -> str:
    lines = text[-TRACEBACK_CHARS_MAX:].split("\n")
    return "\n".join(safe_text(line) for line in lines)
