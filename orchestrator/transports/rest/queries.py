"""What may stand behind the question mark, each a model that is checked strictly and shown in the OpenAPI document."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from yarl import URL

from replwire.errors import WireError

PAGE_ITEMS_MAX: Final = 200
"""Of one page of a list."""
HISTORY_ITEMS_MAX: Final = 100
"""Of one page of a journal."""
CURSOR_CHARS_MAX: Final = 64
NAME_CHARS_MAX: Final = 4096
"""Of a prefix or a folder."""
SEQ_MAX: Final = 2**53 - 1


def _digits(value: Any) -> Any:
    """Text of plain digits; what else a lenient parser takes for a number is none."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()):
            raise ValueError("a whole number is wanted")
        return int(value[:20])
    return value


Whole = Annotated[int, BeforeValidator(_digits)]
Cursor = Annotated[str | None, Field(max_length=CURSOR_CHARS_MAX, description="`next_cursor` of the page before")]


class Query(BaseModel):
    """Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NoQuery(Query):
    """No parameters."""


class PageQuery(Query):
    """A page of a list."""

    limit: Annotated[Whole, Field(ge=1, le=PAGE_ITEMS_MAX, description="items of a page")] = 50
    cursor: Cursor = None


class EventsQuery(Query):
    """Where a stream of events begins."""

    cursor: Annotated[
        str | None,
        Field(max_length=CURSOR_CHARS_MAX, description="the last one seen; `Last-Event-ID` goes before it"),
    ] = None


class VariablesQuery(Query):
    """Which names."""

    prefix: Annotated[str | None, Field(max_length=NAME_CHARS_MAX, description="only names that begin so")] = None


class HistoryQuery(Query):
    """A page of the journal."""

    first: Annotated[Whole, Field(ge=0, le=SEQ_MAX, alias="from", description="first seq")] = 1
    last: Annotated[Whole | None, Field(ge=0, le=SEQ_MAX, alias="to", description="last seq")] = None
    limit: Annotated[Whole, Field(ge=1, le=HISTORY_ITEMS_MAX, description="items of a page")] = 50
    cursor: Cursor = None


class FolderQuery(Query):
    """Which folder."""

    folder: Annotated[str, Field(max_length=NAME_CHARS_MAX, description="relative to the working folder")] = "."


def read_query(kind: type[Query], url: URL) -> Query:
    """The parameters of a request; raises `bad_message` and names the first that is wrong."""
    counts = Counter(name for name, _ in url.query.items())
    if repeated := next((name for name, count in counts.items() if count > 1), None):
        raise WireError("bad_message", "a parameter stands there twice", field=repeated[:CURSOR_CHARS_MAX])
    try:
        return kind.model_validate(dict(url.query))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part)[:CURSOR_CHARS_MAX] for part in first["loc"][:1])
        said = "no such parameter" if first["type"] == "extra_forbidden" else first["msg"]
        raise WireError("bad_message", f"{name}: {said}", field=name) from None
