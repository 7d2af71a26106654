"""The events of generation 1 and the fields of a `result`: what the reference page and the schema are made from."""

from __future__ import annotations

from typing import Final, NamedTuple


class Event(NamedTuple):
    """An envelope that may come before a request's terminal, or by itself: its payload's fields and meanings."""

    name: str
    fields: dict[str, str]
    meaning: str


EVENTS: Final[dict[str, Event]] = {
    row.name: row
    for row in (
        Event(
            "stream",
            {"name": "`stdout` or `stderr`", "text": "what was written"},
            "output while an eval runs; only if the eval asked `stream`",
        ),
        Event(
            "display",
            {
                "data": "MIME bundle",
                "metadata": "of the bundle",
                "display_id": "name of this display",
                "update": "true: replaces the display of that name",
            },
            "`display()` was called",
        ),
        Event("clear_output", {"wait": "true: clear when the next output comes"}, "`clear_output()` was called"),
        Event(
            "input_request",
            {"prompt": "text to show", "password": "true: do not echo"},
            "`input()` or `getpass()` waits for an `input`",
        ),
        Event(
            "status",
            {
                "status": "`starting`, `ready`, `busy`, `idle`, `restoring`, `parked` or `closing`",
                "cause": "why, where there is a why",
                "percent": "progress, where there is one",
                "position": "place in the queue for a worker",
                "unsaved": "after a worker died: names that did not come back, with reasons",
            },
            "what the session is doing; has no cursor",
        ),
        Event(
            "rolled_back",
            {"to": "seq", "cause": "why", "generation": "of the session from now on"},
            "what was told live after that eval did not happen",
        ),
        Event(
            "committed",
            {"target": "request id", "seq": "of the eval", "etag": "of the state", "durable": "as in `result`"},
            "a result that went out as `kept` is committed now",
        ),
        Event("gap", {"from": "cursor", "to": "cursor"}, "events that are no longer kept; has no cursor"),
        Event(
            "going_away",
            {"retry_after_ms": "when to connect again"},
            "this front door ends; sessions do not. What has no answer by now was not begun by it",
        ),
    )
}

RESULT_FIELDS: Final[dict[str, str]] = {
    "output": "repr of the last expression, or null; a trailing `;` hides it",
    "stdout": "captured text, empty when streamed",
    "stderr": "captured text, empty when streamed; a traceback stands here too",
    "error": "null, or `name`, `message`, `traceback` (list of frames) and for a stop by us `code`",
    "data": "MIME bundle of the value",
    "seq": "number of the eval, and so of the state after it",
    "state": "`committed`, `kept`, `rolled_back` or `unknown`",
    "durable": "`fsync`, `memory` or `none`: what the store really did",
    "unsaved": "names that the checkpoint could not keep, with reasons",
    "receipt": "`wall_s`, `cpu_s`, `peak_memory_bytes`, `output_bytes`, `truncated`",
    "etag": "hash chain over all commits",
}
