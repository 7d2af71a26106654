"""A journal entry that comes from elsewhere: strictly what ours are, or it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from replwire.errors import WireError
from replwire.limits import LIMITS

_CURSOR: Final = r"^[0-9]{1,18}\.[0-9]{1,18}$"
_ID: Final = r"^[ -~]+$"
"""Printable ASCII, as the intake asks."""

Cursor = Annotated[str, Field(pattern=_CURSOR)]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What `orchestrator.core.outcomes.journal_entry` writes."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    seq: Annotated[int, Field(ge=1, lt=2**53)]
    id: Annotated[str, Field(min_length=1, max_length=LIMITS["id_chars_max"].default, pattern=_ID)]
    type: Literal["eval", "files", "rewind"]
    principal: Annotated[str, Field(min_length=1, max_length=512)]
    at: float
    """Unix seconds."""
    etag: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    cursors: Annotated[list[Cursor], Field(min_length=2, max_length=2)]
    result: dict[str, Any]
    body: dict[str, Any]


_ENTRY: Final = TypeAdapter(JournalEntry)


def read_entry(data: bytes) -> JournalEntry:
    """The entry; raises `bad_message`, with the field that is wrong."""
    try:
        return _ENTRY.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part)[:64] for part in first["loc"])
        words = f"a journal entry that no server has written: {field}: {first['msg']}"
        raise WireError("bad_message", words, cause="damaged") from None
