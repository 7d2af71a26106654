"""What a worker says of a finished request: checked here, for nothing that comes out of a worker is trusted."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, JsonValue, NonNegativeFloat, TypeAdapter, ValidationError

from orchestrator.core.commits import Checkpointed
from orchestrator.core.encoding import to_text
from replwire.envelopes import Json
from replwire.frames import OUTCOME_HEAD, Frame

_CONFIG: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

UNSAVED_MAX: Final = 1000
"""Names with reasons in one result; the rest are counted under the name `…`."""


class ProtocolBreach(Exception):
    """The worker broke the internal protocol; it is replaced."""


@dataclass(frozen=True, slots=True)
class TracebackFrame:
    """One frame of the tenant's code."""

    file: str
    line: int | None
    name: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class TenantError:
    """An exception in tenant code."""

    name: str
    message: str
    traceback: list[TracebackFrame]
    code: str | None = None


@dataclass(frozen=True, slots=True)
class UsageReceipt:
    """What the worker says it used; the front door adds what it counted itself."""

    wall_s: NonNegativeFloat
    cpu_s: NonNegativeFloat
    peak_memory_bytes: Annotated[int, Field(ge=0, lt=2**63)]
    truncated: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Bytes of the value that were cut or left out."""


@dataclass(frozen=True, slots=True)
class EvalOutcome:
    """An eval as the interpreter tells it."""

    __pydantic_config__ = _CONFIG

    output: str | None
    error: TenantError | None
    receipt: UsageReceipt
    data: dict[str, JsonValue] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)


_EVAL: Final = TypeAdapter(EvalOutcome)
_DUMP_ERROR: Final = TypeAdapter(TenantError | None)
_OBJECT: Final[TypeAdapter[dict[str, JsonValue]]] = TypeAdapter(dict[str, JsonValue])


@dataclass(slots=True)
class Outcome:
    """A finished numbered request: what its result says, and the checkpoint after it."""

    seq: int
    request_id: str
    type: str
    body_hash: bytes
    stamp: bytes
    principal: str
    body: bytes
    payload: Json
    state: Checkpointed
    first_event: int
    last_event: int


def read_object(data: bytes) -> Json:
    """A JSON object from a worker; raises `ProtocolBreach`."""
    try:
        return _OBJECT.validate_json(data)
    except ValidationError as error:
        raise ProtocolBreach(f"not a JSON object: {_first(error)}") from None


def read_outcome(frame: Frame) -> Outcome:
    """The values of an OUTCOME frame; raises `ProtocolBreach` for anything that is not as agreed."""
    try:
        head, id_, type_, hashed, stamp, principal, body, told, stdout, stderr, manifest, references = frame.parts
        seq, first, last, output_bytes, truncated = OUTCOME_HEAD.unpack(head)
        request_id, kind, name = id_.decode("ascii"), type_.decode("ascii"), principal.decode("utf-8")
    except (struct.error, ValueError) as error:
        raise ProtocolBreach(f"a malformed outcome: {error}") from None
    if len(references) % 32:
        raise ProtocolBreach("references are not content ids")
    payload = read_object(told) if kind != "eval" else _result(told, stdout, stderr, output_bytes, truncated)
    ids = tuple(references[start : start + 32] for start in range(0, len(references), 32))
    state = Checkpointed(manifest, ids)
    return Outcome(seq, request_id, kind, hashed, stamp, name, body, payload, state, first, last)


def _result(told: bytes, stdout: bytes, stderr: bytes, output_bytes: int, truncated: int) -> Json:
    try:
        outcome = _EVAL.validate_json(told)
    except ValidationError as error:
        raise ProtocolBreach(f"a malformed result: {_first(error)}") from None
    receipt = outcome.receipt
    return {
        "output": outcome.output,
        "stdout": text_of(stdout),
        "stderr": text_of(stderr),
        "error": _DUMP_ERROR.dump_python(outcome.error, exclude_none=True) if outcome.error else None,
        "data": outcome.data,
        "unsaved": bounded_unsaved(outcome.unsaved),
        "receipt": {
            "wall_s": receipt.wall_s,
            "cpu_s": receipt.cpu_s,
            "peak_memory_bytes": receipt.peak_memory_bytes,
            "output_bytes": output_bytes,
            "truncated": truncated + receipt.truncated,
        },
    }


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, found['loc']))[:128]}: {found['msg']}"


def bounded_unsaved(unsaved: dict[str, str]) -> dict[str, str]:
    """At most `UNSAVED_MAX` names with reasons; how many more there are stands under `…`."""
    if len(unsaved) <= UNSAVED_MAX:
        return unsaved
    kept = dict(list(unsaved.items())[:UNSAVED_MAX])
    kept["…"] = f"{len(unsaved) - UNSAVED_MAX} more names"
    return kept


def text_of(data: bytes) -> str:
    """What a tenant wrote, as text; bytes that are not UTF-8 are shown as escapes."""
    return data.decode("utf-8", "backslashreplace")


def with_commit(payload: Json, *, seq: int, state: str, durable: str, etag: str | None) -> Json:
    """A result's payload with what only a front door can say."""
    said = {**payload, "seq": seq, "state": state, "durable": durable}
    said.pop("etag", None)
    if etag is not None:
        said["etag"] = etag
    return said


def journal_entry(outcome: Outcome, generation: int, etag: str, at: float) -> bytes:
    """What the journal keeps of a finished request: enough to answer its id again, and for history and audit.

    `generation` and `etag` are those of its commit, `at` is Unix seconds.
    """
    entry: dict[str, Any] = {
        "seq": outcome.seq,
        "id": outcome.request_id,
        "type": outcome.type,
        "principal": outcome.principal,
        "at": at,
        "etag": etag,
        "cursors": [f"{generation}.{outcome.first_event}", f"{generation}.{outcome.last_event}"],
        "result": outcome.payload,
    }
    # The body is canonical JSON that we dispatched (its hash was checked), so it is put in as it is.
    return to_text(entry)[:-1].encode("utf-8") + b',"body":' + outcome.body + b"}"
