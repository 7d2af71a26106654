"""What an eval showed and how it failed, as values that a notebook can show again."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MimeBundle = dict[str, Any]

HEADER: Final = "Traceback (most recent call last):"

_BINARY: Final = frozenset({"image/png", "image/jpeg", "application/pdf"})


@dataclass(slots=True)
class Result:
    """A value in every form that it has: a MIME bundle. Binary forms are base64 text, as notebooks have them."""

    data: MimeBundle
    metadata: dict[str, Any] = field(default_factory=dict)
    is_main_result: bool = False
    """True for the value of the last expression, False for what `display()` showed."""
    display_id: str | None = None

    @property
    def text(self) -> str | None:
        """`text/plain`."""
        return self.data.get("text/plain")

    @property
    def html(self) -> str | None:
        """`text/html`."""
        return self.data.get("text/html")

    @property
    def markdown(self) -> str | None:
        """`text/markdown`."""
        return self.data.get("text/markdown")

    @property
    def latex(self) -> str | None:
        """`text/latex`."""
        return self.data.get("text/latex")

    @property
    def svg(self) -> str | None:
        """`image/svg+xml`."""
        return self.data.get("image/svg+xml")

    @property
    def png(self) -> str | None:
        """`image/png`, as base64."""
        return self.data.get("image/png")

    @property
    def jpeg(self) -> str | None:
        """`image/jpeg`, as base64."""
        return self.data.get("image/jpeg")

    @property
    def pdf(self) -> str | None:
        """`application/pdf`, as base64."""
        return self.data.get("application/pdf")

    @property
    def json(self) -> Any:
        """`application/json`, as a value."""
        return self.data.get("application/json")

    @property
    def javascript(self) -> str | None:
        """`application/javascript`."""
        return self.data.get("application/javascript")

    def formats(self) -> list[str]:
        """The MIME types that there are."""
        return list(self.data)

    def raw(self, mime: str) -> bytes:
        """One form as bytes: binary ones decoded, text in UTF-8. Raises `KeyError`."""
        value = str(self.data[mime])
        return base64.b64decode(value) if mime in _BINARY else value.encode("utf-8")

    def __getitem__(self, mime: str) -> Any:
        return self.data[mime]

    def __str__(self) -> str:
        return self.text or f"<{', '.join(self.data)}>"

    # What IPython asks for. `_repr_mimebundle_` alone would do in Jupyter; other front ends ask for the rest.

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[MimeBundle, dict[str, Any]]:
        return dict(self.data), dict(self.metadata)

    def _repr_html_(self) -> str | None:
        return self.html

    def _repr_markdown_(self) -> str | None:
        return self.markdown

    def _repr_latex_(self) -> str | None:
        return self.latex

    def _repr_svg_(self) -> str | None:
        return self.svg

    def _repr_png_(self) -> bytes | None:
        return self.raw("image/png") if self.png else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.raw("image/jpeg") if self.jpeg else None

    def _repr_pdf_(self) -> bytes | None:
        return self.raw("application/pdf") if self.pdf else None

    def _repr_json_(self) -> Any:
        return self.json

    def _repr_javascript_(self) -> str | None:
        return self.javascript


@dataclass(slots=True)
class Logs:
    """What was written, in the pieces that came."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback; `source` is its line, where it is known."""

    file: str
    line: int | None
    function: str
    source: str | None


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """The exception that ended an eval: a fact of the code that was run, not of Bascule."""

    name: str
    """Of its class."""
    value: str
    """Its message."""
    traceback: str
    """As Python prints it."""
    frames: tuple[Frame, ...] = ()
    code: str | None = None
    """`timeout` or `interrupted` when we stopped the eval."""

    @property
    def message(self) -> str:
        """The same as `value`."""
        return self.value

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an eval cost."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    output_bytes: int = 0
    truncated: int = 0
    """Bytes of output that were cut."""


def receipt_of(told: Mapping[str, Any]) -> Receipt:
    """From the wire; what a later server adds is left out."""
    return Receipt(**{name: told[name] for name in Receipt.__dataclass_fields__ if name in told})


def failure_of(told: Mapping[str, Any], stderr: str) -> ExecutionError:
    """From the wire. `stderr` has the traceback as Python printed it, with its carets, unless it was cut there."""
    name, value = str(told.get("name", "")), str(told.get("message", ""))
    frames = tuple(_frames(told.get("traceback")))
    text = _found(frames, stderr) or _as_printed(frames, f"{name}: {value}" if value else name)
    return ExecutionError(name, value, text, frames, told.get("code") or None)


def _frames(told: object) -> Iterator[Frame]:
    for item in told if isinstance(told, list) else ():
        if isinstance(item, dict):
            yield Frame(str(item.get("file", "")), item.get("line"), str(item.get("name", "")), item.get("source"))


def _found(frames: tuple[Frame, ...], stderr: str) -> str:
    # A SyntaxError has no frames: it begins with the place of the fault.
    head = "\n".join([HEADER, _place(frames[0])]) if frames else '  File "'
    return stderr[start:] if (start := stderr.rfind(head)) >= 0 else ""


def _place(frame: Frame) -> str:
    return f'  File "{frame.file}", line {frame.line}, in {frame.function}'


def _as_printed(frames: tuple[Frame, ...], last: str) -> str:
    lines = [HEADER] if frames else []
    for frame in frames:
        lines.append(_place(frame))
        if frame.source:
            lines.append(f"    {frame.source.strip()}")
    return "\n".join([*lines, last, ""])
