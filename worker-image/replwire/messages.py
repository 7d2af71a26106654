"""The message types of generation 1: one frozen dataclass per request (events: `replwire.events`).

The classes are the single source for validation (`orchestrator.core.intake`), the reference page, the JSON Schema
and `describe`. Only what is served stands here. A field's meaning is in its metadata; a field with a default may be
left out.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Literal

GENERATION: Final = 1
"""Of the protocol. The outer shape never changes, fields are optional, types are only added."""

SUBPROTOCOL: Final = "bascule.v1"


def _required(meaning: str) -> Any:
    return field(metadata={"meaning": meaning})


def _optional(meaning: str, default: Any = None) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Describe:
    """server, generation, limits, languages, what the caller may do; made from the tables of `replwire`"""


@dataclass(frozen=True, slots=True)
class From:
    """the state that a new session begins with"""

    session: str = _required("id of a session of the same tenant")
    seq: int | None = _optional("one of its kept states; without it, the last one")
    pin: str | None = _optional("or a state that was pinned, by its name")


@dataclass(frozen=True, slots=True)
class Open:
    """new session, bound to this connection"""

    language: str | None = _optional("`python` is served")
    image: str | None = _optional("name of a worker image from the operator's list")
    limits: dict[str, int] | None = _optional("lower limits than those in force, by name; none can be raised")
    durability: Literal["commit", "async", "none"] | None = _optional("when a result may go out; default `commit`")
    idle_timeout_s: float | None = _optional("time without a request after which the worker is ended")
    name: str | None = _optional("for people; 1 to 128 characters")
    park_unsaved: bool | None = _optional("whether its worker may be ended while names are in it that nothing keeps")
    # `from` is a keyword; the wire name is in the metadata.
    origin: From | None = field(default=None, metadata={"meaning": "begin with a state: of a fork", "wire": "from"})


@dataclass(frozen=True, slots=True)
class Attach:
    """bind to an existing session; missed events are sent again, then live ones"""

    session: str = _required("id of the session")
    cursor: str | None = _optional("the last cursor seen; events after it are sent again")
    role: Literal["driver", "observer"] | None = _optional("an observer may only watch; default `driver`")


@dataclass(frozen=True, slots=True)
class Eval:
    """run code"""

    code: str = _required("source text")
    stream: bool = _optional("output as `stream` events while it runs", False)
    timeout_s: float | None = _optional("wall time after which it is interrupted; may only lower the limit")
    allow_stdin: bool = _optional("`input()` may ask this client", False)
    silent: bool = _optional("no value is shown or kept in `_`", False)
    if_seq: int | None = _optional("start only if this is the last seq; else `conflict`")
    on_disconnect: Literal["continue", "interrupt"] = _optional("what happens when this client leaves", "continue")


@dataclass(frozen=True, slots=True)
class Interrupt:
    """stop the running eval; answers `interrupted`, `idle` or `mismatch`"""

    target: str | None = _optional("request id; without it, whatever runs")


@dataclass(frozen=True, slots=True)
class Cancel:
    """drop a request that waits in the queue"""

    target: str = _required("request id")


@dataclass(frozen=True, slots=True)
class Input:
    """answer to `input_request`"""

    target: str = _required("request id of the eval that asked")
    text: str = _required(
        "the line, without its end; U+0004 alone (Ctrl-D) ends the input: `input()` raises `EOFError`, `read()` returns"
    )


@dataclass(frozen=True, slots=True)
class Complete:
    """matches with kinds"""

    code: str = _required("source text")
    cursor: int = _required("offset in characters")


@dataclass(frozen=True, slots=True)
class Inspect:
    """signature, docstring, source"""

    code: str = _required("source text")
    cursor: int = _required("offset in characters")
    detail: int = _optional("0: signature and docstring; 1: source as well", 0)


@dataclass(frozen=True, slots=True)
class IsComplete:
    """complete, incomplete with indent, invalid; runs no tenant code and never waits"""

    code: str = _required("source text")


@dataclass(frozen=True, slots=True)
class Variables:
    """name, type, size, short repr, kept or not in the last checkpoint (null while that is being taken)"""

    prefix: str | None = _optional("only names that begin so")


@dataclass(frozen=True, slots=True)
class History:
    """journal entries; and which states are kept (`states`), and which of them under a name (`pins`)"""

    # `from` is a keyword; the wire name is in the metadata.
    first: int | None = field(default=None, metadata={"meaning": "first seq", "wire": "from"})
    last: int | None = field(default=None, metadata={"meaning": "last seq", "wire": "to"})


@dataclass(frozen=True, slots=True)
class Rewind:
    """go back: a commit of its own, whose state equals that of `seq`; what runs or waits ends `rolled_back`"""

    seq: int = _required("one of the kept states, as `history` lists them")


@dataclass(frozen=True, slots=True)
class Fork:
    """a new session with the last committed state, or that of `seq`; its random generators are reseeded"""

    seq: int | None = _optional("one of the kept states")
    name: str | None = _optional("of the new session; 1 to 128 characters")


@dataclass(frozen=True, slots=True)
class Pin:
    """keep a state under a name for as long as the session; new sessions may begin with it (`open` with `from`)"""

    name: str = _required("1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first")
    seq: int | None = _optional("one of the kept states; without it, the last one")


@dataclass(frozen=True, slots=True)
class Unpin:
    """let go of a pinned state"""

    name: str = _required("its name")


@dataclass(frozen=True, slots=True)
class Files:
    """the session's working folder; writes and deletes are numbered and committed like evals"""

    op: Literal["list", "read", "write", "delete", "stat", "digest"] = _required("what to do")
    path: str = _required("relative to the working folder")
    data: str | None = _optional("base64, for `write`")
    offset: int | None = _optional("first byte, for `read`, `digest` and a `write` in parts")
    length: int | None = _optional("how many bytes at most, for `read` and `digest`; without it, all that follow")
    more: bool = _optional("`write`: further parts follow; the file is there, whole, after the last one", False)


@dataclass(frozen=True, slots=True)
class Ping:
    """answered with `pong`"""


@dataclass(frozen=True, slots=True)
class Detach:
    """leave the session running"""


@dataclass(frozen=True, slots=True)
class Close:
    """end the session"""


Payload = (
    Describe | Open | Attach | Eval | Interrupt | Cancel | Input | Complete | Inspect | IsComplete | Variables
    | History | Rewind | Fork | Pin | Unpin | Files | Ping | Detach | Close
)  # fmt: skip

REQUESTS: Final[dict[str, type[Payload]]] = {
    "describe": Describe,
    "open": Open,
    "attach": Attach,
    "eval": Eval,
    "interrupt": Interrupt,
    "cancel": Cancel,
    "input": Input,
    "complete": Complete,
    "inspect": Inspect,
    "is_complete": IsComplete,
    "variables": Variables,
    "history": History,
    "rewind": Rewind,
    "fork": Fork,
    "pin": Pin,
    "unpin": Unpin,
    "files": Files,
    "ping": Ping,
    "detach": Detach,
    "close": Close,
}


def terminal_type(request_type: str) -> str:
    """The type of the one envelope that ends a request well; `error` ends it otherwise."""
    return {"eval": "result", "ping": "pong"}.get(request_type, "reply")


def wire_fields(request: type[Payload]) -> list[tuple[str, str, Any, bool]]:
    """`(wire name, attribute, annotation as text, required)` of each field of a request's payload."""
    rows = []
    for item in fields(request):
        required = item.default is MISSING and item.default_factory is MISSING
        rows.append((item.metadata.get("wire", item.name), item.name, item.type, required))
    return rows
