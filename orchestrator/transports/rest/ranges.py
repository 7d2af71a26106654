"""A part of a file by `Range` (RFC 9110, section 14), and what is said of it beside its bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from replwire.errors import WireError

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE | re.ASCII)
_DIGEST: Final = re.compile(r"(?:^|,)\s*sha-256\s*=\s*([^,;]*)", re.IGNORECASE)
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f"\\/:*?<>|\u200b-\u200f\u2028-\u202e\u2066-\u2069]')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
NAME_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to `end`, that one left out."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def span_of(header: str | None, size: int) -> Span | None:
    """The part that is asked for; None: all of it, also where the header is of a form that may be ignored. A part
    that the file does not have is a `ValueError`."""
    found = _RANGE.fullmatch(header) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        raise ValueError("there are no such bytes")
    return Span(start, end)


def content_digest(sha256: bytes) -> str:
    """The field's value (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(sha256).decode('ascii')}:"


class Expected:
    """The SHA-256 that a client says its bytes have, fed with those that came."""

    def __init__(self, header: str | None) -> None:
        """Raises `bad_message` for one that can't be read; other algorithms are not looked at."""
        found = _DIGEST.search(header) if header else None
        self._wanted = _decoded(found[1].strip()) if found else None
        self._came = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self._came.update(data)

    def check(self) -> None:
        """After the last ones; raises `bad_message` when it is something else that came."""
        if self._wanted is not None and self._came.digest() != self._wanted:
            raise WireError("bad_message", "the bytes have another SHA-256", field="Content-Digest")


def _decoded(text: str) -> bytes:
    try:
        if not (len(text) > 2 and text[0] == text[-1] == ":"):
            raise ValueError
        return base64.b64decode(text[1:-1], validate=True)
    except ValueError:
        raise WireError("bad_message", "write it as sha-256=:BASE64:", field="Content-Digest") from None


def disposition(path: str) -> str:
    """`Content-Disposition` with a name that is safe on every system, whatever a tenant called the file."""
    name = _UNSAFE.sub("_", path.rsplit("/", 1)[-1].rsplit("\\", 1)[-1])[:NAME_CHARS_MAX].strip(" .") or "file"
    if _DEVICE.fullmatch(name):
        name = f"_{name}"
    plain = name.encode("ascii", "replace").decode("ascii").replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
