"""The one table of routes: what is served where, what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from pydantic import BaseModel

from orchestrator.core.ids import is_session_id
from orchestrator.core.intake import PIN_NAME
from orchestrator.transports.rest import models, queries
from orchestrator.transports.rest.events import EVENT_STREAM
from replwire.limits import LIMITS

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"

_ONE: Final = "/v1/sessions/{session}"
_ID_CHARS_MAX: Final = LIMITS["id_chars_max"].default


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `request` names the envelope that its body is the payload of."""

    name: str
    method: str
    template: str
    summary: str
    answer: type[BaseModel] | None = None
    status: int = 200
    request: str | None = None
    query: type[queries.Query] = queries.NoQuery
    produces: tuple[str, ...] = (JSON,)
    takes_key: bool = False
    """Whether `Idempotency-Key` means something."""
    is_public: bool = False
    """Whether no token is asked."""
    takes_file: str = ""
    """Whether its body is a file's bytes: the limit of its size, by name."""

    @property
    def takes_body(self) -> bool:
        """Whether it may have one at all."""
        return bool(self.takes_file) or self.request is not None


ROUTES: Final = (
    Route("listSessions", "GET", "/v1/sessions", "The tenant's open sessions, the newest first.", models.SessionPage,
          query=queries.PageQuery),
    Route("openSession", "POST", "/v1/sessions", "Open a session.", models.Opened, 201, "open", takes_key=True),
    Route("importSession", "POST", "/v1/sessions/import", "Make a session of an exported one.", models.Copied, 201,
          takes_key=True, takes_file="import_bytes_max"),
    Route("getSession", "GET", _ONE, "What is known of a session; wakes no worker.", models.Session),
    Route("closeSession", "DELETE", _ONE, "End a session for good.", status=204),
    Route("runEval", "POST", f"{_ONE}/evals", "Run code, and wait for its result or hear its events as they come.",
          models.Execution, request="eval", produces=(JSON, EVENT_STREAM), takes_key=True),
    Route("getEval", "GET", f"{_ONE}/evals/{{request_id}}", "How an eval ended, by its id; wakes no worker.",
          models.Execution),
    Route("listenToEvents", "GET", f"{_ONE}/events", "Events of a session, missed ones first.",
          query=queries.EventsQuery, produces=(EVENT_STREAM,)),
    Route("interruptEval", "POST", f"{_ONE}/interrupt", "Stop the running eval.", models.Status, request="interrupt"),
    Route("cancelRequest", "POST", f"{_ONE}/cancel", "Drop a request that waits in the queue.", models.Status,
          request="cancel"),
    Route("answerInput", "POST", f"{_ONE}/input", "Answer an `input_request`.", models.Status, request="input"),
    Route("completeCode", "POST", f"{_ONE}/complete", "What could be written at the cursor.", models.Matches,
          request="complete"),
    Route("inspectCode", "POST", f"{_ONE}/inspect", "Signature, docstring and source of what stands at the cursor.",
          models.Inspected, request="inspect"),
    Route("isComplete", "POST", f"{_ONE}/is_complete", "Whether code can be run as it is.", models.Completeness,
          request="is_complete"),
    Route("listVariables", "GET", f"{_ONE}/variables", "Names in the session's namespace.", models.Variables,
          query=queries.VariablesQuery),
    Route("readHistory", "GET", f"{_ONE}/history", "The journal, the oldest entry first.", models.HistoryPage,
          query=queries.HistoryQuery),
    Route("rewindSession", "POST", f"{_ONE}/rewind", "Go back to a kept state: a commit of its own.", models.Rewound,
          request="rewind", takes_key=True),
    Route("forkSession", "POST", f"{_ONE}/fork", "A new session that begins with a kept state.", models.Copied, 201,
          "fork", takes_key=True),
    Route("listPins", "GET", f"{_ONE}/pins", "Which states are kept, and which of them under a name.", models.Pins),
    Route("pinState", "PUT", f"{_ONE}/pins/{{name}}", "Keep a state under a name.", models.Pin, request="pin"),
    Route("unpinState", "DELETE", f"{_ONE}/pins/{{name}}", "Let go of a name.", status=204),
    Route("exportSession", "GET", f"{_ONE}/export", "The session as a file, sealed with the operator's key.",
          produces=(OCTETS,)),
    Route("listFiles", "GET", f"{_ONE}/files/", "A folder of the session's working folder.", models.FileList,
          query=queries.FolderQuery),
    Route("readFile", "GET", f"{_ONE}/files/{{path}}", "The bytes of a file.", produces=(OCTETS,)),
    Route("writeFile", "PUT", f"{_ONE}/files/{{path}}", "Make a file of these bytes, or replace it.",
          models.FileWritten, takes_file="upload_bytes_max"),
    Route("deleteFile", "DELETE", f"{_ONE}/files/{{path}}", "Delete a file or a folder.", status=204),
    Route("readOpenApi", "GET", "/openapi.json", "This document.", is_public=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """An address that is served: its template, its routes by method, and what stands in the template's holes."""

    template: str
    routes: Mapping[str, Route]
    holes: Mapping[str, str]

    def route(self, method: str) -> Route | None:
        """HEAD is what GET would be."""
        return self.routes.get("GET" if method == "HEAD" else method)

    @property
    def methods(self) -> list[str]:
        """All that may be asked here."""
        return sorted({*self.routes, "OPTIONS", *(["HEAD"] if "GET" in self.routes else [])})


def _by_template() -> dict[str, dict[str, Route]]:
    found: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        found.setdefault(route.template, {})[route.method] = route
    return found


_PLACES: Final = {tuple(template.split("/")): (template, routes) for template, routes in _by_template().items()}


def find_place(raw_path: str) -> Place | None:
    """What is served at an address as it was sent, not yet unquoted; None when nothing is."""
    words = raw_path.split("/")
    for pattern, (template, routes) in _PLACES.items():
        holes = _holes(pattern, words)
        if holes is not None:
            return Place(template, routes, holes)
    return None


def _holes(pattern: tuple[str, ...], words: list[str]) -> dict[str, str] | None:
    if pattern[-1] == "{path}" and len(words) > len(pattern):
        # A path has slashes of its own.
        words = [*words[: len(pattern) - 1], "/".join(words[len(pattern) - 1 :])]
    if len(words) != len(pattern):
        return None
    holes: dict[str, str] = {}
    for part, word in zip(pattern, words, strict=True):
        if not part.startswith("{"):
            if part != word:
                return None
        elif (value := _value(part[1:-1], word)) is not None:
            holes[part[1:-1]] = value
        else:
            return None
    return holes


def _value(hole: str, word: str) -> str | None:
    try:
        text = unquote(word, errors="strict")
    except UnicodeDecodeError:
        return None
    if hole == "session":
        return text if is_session_id(text) else None
    if hole == "name":
        return text if PIN_NAME.fullmatch(text) else None
    if hole == "request_id":
        return text if 1 <= len(text) <= _ID_CHARS_MAX and text.isascii() and text.isprintable() else None
    return text or None
