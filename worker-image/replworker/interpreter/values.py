"""The value of an eval as text and as a MIME bundle (`_repr_mimebundle_` and `_repr_*_`, as Jupyter has them)."""

from __future__ import annotations

import binascii

from replwire.hints import Any, Final
from replworker.json_size import fitting
from replworker.plain_json import to_json

PLAIN: Final = "text/plain"

REPRESENTATIONS: Final = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript"),
)

VALUE_BYTES_MAX: Final = 1024 * 1024
"""Upper bound of the limit `value_bytes_max`: text and bundle have to fit into one frame."""

ESCAPE_BYTES_MAX: Final = 6
"""Of one character in JSON; one beyond ASCII takes four at most."""

_SIMPLE: Final = frozenset(
    (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range, slice, type(None))
)
"""Types that have no rich form."""


class Values:
    """Shows values within `value_bytes_max` for each form, `repr_bytes_max` for the repr."""

    def __init__(self) -> None:
        self._bytes_max = self._repr_bytes_max = VALUE_BYTES_MAX

        self.cut_bytes = 0
        """Of reprs that were cut and forms that were left out for their size, since it was set to 0."""

    def limit(self, value_bytes_max: int, repr_bytes_max: int) -> None:
        """See `replwire.limits`."""
        self._bytes_max = min(value_bytes_max, VALUE_BYTES_MAX)
        self._repr_bytes_max = min(repr_bytes_max, VALUE_BYTES_MAX)

    def shown(self, value: object) -> tuple[str, dict[str, Any]]:
        """Its repr and its bundle. Raises what the value's own `__repr__` raises."""
        text = self._cut(repr(value))
        bundle: dict[str, Any] = {PLAIN: text}
        if type(value) not in _SIMPLE:
            bundle |= self._rich(value)[0]
        return text, bundle

    def bundle(self, value: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """`(data, metadata)`, for `display()`."""
        data: dict[str, Any] = {PLAIN: self._cut(repr(value))}
        if type(value) in _SIMPLE:
            return data, {}
        rich, metadata = self._rich(value)
        return data | rich, metadata

    def checked(self, data: object, metadata: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """A bundle that a tenant made himself; forms that are too large or no JSON are left out. `TypeError`."""
        if not isinstance(data, dict):
            raise TypeError("a MIME bundle is a dict of forms by MIME type")
        forms = {str(mime): form for mime, value in data.items() if (form := self._form(value)) is not None}
        extra = metadata if isinstance(metadata, dict) and self._fits(metadata) else {}
        return forms, extra

    # --- rich forms ---------------------------------------------------------------------------------------------

    def _rich(self, value: object) -> tuple[dict[str, Any], dict[str, Any]]:
        # Methods are looked up on the type: an object that answers to every name has no rich form.
        kind = type(value)
        if isinstance(value, type):
            return {}, {}
        if (whole := _method(kind, "_repr_mimebundle_")) is not None:
            found = _quietly(whole, value, include=None, exclude=None)
            data, metadata = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
            if isinstance(data, dict):
                return self.checked(data, metadata)
        return self._single_forms(value, kind)

    def _single_forms(self, value: object, kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
        data: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for method, mime in REPRESENTATIONS:
            if (make := _method(kind, method)) is None:
                continue
            form = _quietly(make, value)
            if isinstance(form, tuple) and len(form) == 2:
                form, metadata[mime] = form
            if form is not None and (shown := self._form(form)) is not None:
                data[mime] = shown
        return data, metadata if self._fits(metadata) else {}

    def _form(self, form: object) -> Any:
        """As JSON can carry it, binary data as base64; None when it can't or is too large."""
        if isinstance(form, bytes | bytearray):
            form = binascii.b2a_base64(form, newline=False).decode("ascii")
        return form if self._fits(form) else None

    def _fits(self, form: object) -> bool:
        try:
            size_bytes = len(to_json(form))
        except (TypeError, ValueError, RecursionError):
            return False
        if size_bytes > self._bytes_max:
            self.cut_bytes += size_bytes
        return size_bytes <= self._bytes_max

    def _cut(self, text: str) -> str:
        """Text of at most so many bytes as JSON, with a mark where it was cut."""
        bytes_max = self._repr_bytes_max
        if len(text) * ESCAPE_BYTES_MAX <= bytes_max:
            return text
        data = text.encode("utf-8", "replace")
        end = fitting(data, bytes_max)
        if end == len(data):
            return text
        self.cut_bytes += len(data) - end
        return data[:end].decode("utf-8", "ignore") + f"… [{len(data) - end} bytes cut]"


def _method(kind: type, name: str) -> Any:
    """None where there is none, and where a metaclass of the tenant's fails."""
    return _quietly(lambda found: getattr(found, name, None), kind)


def _quietly(make: Any, value: Any, **words: object) -> Any:
    """A rich form that fails is left out; the repr is there all the same."""
    try:
        return make(value, **words)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None
