"""What answers look like: for the OpenAPI document, and for tests that hold every answer to it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from replwire.errors import ERROR_CODES

SESSION_PATTERN = "^ses_[a-z2-7]{16}_[a-z2-7]{16}$"


class Answer(BaseModel):
    """Fields may be added; those listed stay."""

    model_config = ConfigDict(extra="allow")


class Opened(Answer):
    """A session that was opened, by this request or by an earlier one with the same key."""

    session: str = Field(pattern=SESSION_PATTERN)
    seq: int = Field(description="the last committed eval")
    status: Literal["ready", "starting"]
    generation: int
    cursor: str = Field(description="of the last event so far")


class Copied(Answer):
    """A session that began with another one's state; no worker runs for it yet."""

    session: str = Field(pattern=SESSION_PATTERN)
    seq: int = Field(description="of the state that it began with")
    status: Literal["parked"]
    generation: int
    etag: str | None = Field(default=None, description="of that state; absent when there is none")
    origin: str = Field(description="the session whose state it was")


class Rewound(Answer):
    """A commit whose state is that of an earlier one."""

    seq: int = Field(description="of the commit")
    to: int = Field(description="the seq whose state it has")
    state: Literal["committed"]
    durable: Literal["fsync", "memory"]
    etag: str
    unsaved: dict[str, str] = Field(description="names that could not be brought back, with reasons")


class Pin(Answer):
    """A state that is kept under a name."""

    name: str
    seq: int
    etag: str


class Pins(Answer):
    """Which states there are to go back to."""

    items: list[Pin] = Field(description="those with a name")
    states: list[int] = Field(description="seqs of the last ones, oldest first")


class Session(Answer):
    """What is known of a session without asking its worker."""

    session: str = Field(pattern=SESSION_PATTERN)
    name: str
    subject: str = Field(description="who opened it")
    status: Literal["ready", "starting", "busy", "parked"]
    created_at: float = Field(description="Unix seconds")
    seen_at: float = Field(description="when a front door last had to do with it, Unix seconds")
    origin: str | None = Field(description="the session whose state it began with")
    seq: int = Field(description="the last committed eval")
    etag: str = Field(description="of the last committed state; empty when there is none")
    generation: int = Field(description="number of its worker")
    durability: Literal["commit", "async", "none"]
    image: str
    idle_timeout_s: float


class SessionPage(Answer):
    """A part of a list."""

    items: list[Session]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one")


class TenantError(Answer):
    """An exception in the code that was run."""

    name: str
    message: str
    traceback: list[dict[str, Any]]


class Result(Answer):
    """How an eval ended; an exception in the code is a result too."""

    output: str | None = Field(description="repr of the last expression")
    stdout: str
    stderr: str
    error: TenantError | None
    data: dict[str, Any] = Field(description="MIME bundle of the value")
    seq: int = Field(description="number of the eval, and so of the state after it")
    state: Literal["committed", "kept", "rolled_back", "unknown"]
    durable: Literal["fsync", "memory", "none"] = Field(description="what the store really did")
    unsaved: dict[str, str] = Field(description="names that the checkpoint could not keep, with reasons")
    receipt: dict[str, float] = Field(description="what it used")


class Execution(Answer):
    """An eval by its id."""

    id: str
    status: Literal["running", "done", "outcome_unknown"]
    result: Result | None = Field(default=None, description="when it is done")
    detail: str | None = Field(default=None, description="why the outcome is not known")


class Status(Answer):
    """What became of it."""

    status: str


class Match(Answer):
    """One way to go on: `text` goes in place of the characters `start` to `end`."""

    text: str
    kind: str
    start: int
    end: int


class Matches(Answer):
    """What could be written at the cursor."""

    matches: list[Match]


class Inspected(Answer):
    """What stands at the cursor."""

    found: bool


class Completeness(Answer):
    """Whether the code can be run as it is."""

    status: Literal["complete", "incomplete", "invalid"]
    indent: str | None = Field(default=None, description="of the next line, when it is incomplete")


class Variable(Answer):
    """A name in the session's namespace."""

    name: str
    type: str
    size: int | None = Field(description="bytes, without what it contains")
    repr: str
    kept: bool = Field(description="whether the last checkpoint has it")


class Variables(Answer):
    """By name."""

    variables: list[Variable]
    more: int = Field(description="how many are not shown")


class Entry(Answer):
    """One request of the journal."""

    seq: int
    id: str
    type: Literal["eval", "files", "rewind"]
    principal: str
    at: float = Field(description="Unix seconds")
    cursors: list[str] = Field(description="of its first and its last event")
    body: dict[str, Any]
    result: dict[str, Any]


class HistoryPage(Answer):
    """A part of the journal, the oldest first."""

    items: list[Entry]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one")
    seq: int = Field(description="the last committed eval")
    states: list[int] = Field(description="seqs of the kept states, oldest first")
    pins: list[Pin] = Field(description="states that are kept under a name")


class FileEntry(Answer):
    """One name in a folder."""

    name: str
    kind: Literal["file", "folder", "link", "other"]
    size: int = Field(description="bytes")
    modified: float = Field(description="Unix seconds")
    etag: str


class FileList(Answer):
    """A folder, by name."""

    items: list[FileEntry]
    more: int = Field(description="how many are not shown")


class FileWritten(Answer):
    """A file that is there now, whole."""

    path: str
    size: int
    seq: int = Field(description="number of the write, and so of the state after it")
    state: Literal["committed", "kept", "rolled_back", "unknown"]
    durable: Literal["fsync", "memory", "none"]


class Problem(Answer):
    """Why not (RFC 9457)."""

    type: str = Field(description="`urn:bascule:error:` and the code")
    title: str
    status: int
    detail: str = Field(description="for people; may change")
    instance: str
    code: str = Field(description=f"one of {', '.join(ERROR_CODES)}, or a fault that only HTTP has")
    retryable: bool = Field(description="whether the same request may succeed when it is sent again")
    incident: str = Field(description="under which the server's log has the rest")
    retry_after_ms: int | None = None
    field: str | None = Field(default=None, description="the part of the request that is wrong")
    limit: str | None = Field(default=None, description="name of the limit that was hit")
