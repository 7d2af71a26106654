"""`display()` and `clear_output()`, as notebooks have them: builtins, so that they are there without an import."""

from __future__ import annotations

import binascii
import os

from replwire.frames import EventKind, Kind
from replwire.hints import Any, Final
from replworker.interpreter.capture import Capture
from replworker.interpreter.channel import Channel
from replworker.interpreter.values import Values
from replworker.plain_json import to_json

DISPLAY_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one display event."""

ID_BYTES: Final = 16


class DisplayHandle:
    """What `display(…, display_id=…)` returns: the same place, to be shown again or changed."""

    def __init__(self, display_id: str) -> None:
        self.display_id = display_id

    def display(self, value: object, **options: Any) -> None:
        """Show it once more, under the same name."""
        _displays[0].show(value, display_id=self.display_id, **options)

    def update(self, value: object, **options: Any) -> None:
        """Replace what was shown under this name."""
        _displays[0].show(value, display_id=self.display_id, update=True, **options)

    def __repr__(self) -> str:
        return f"<DisplayHandle display_id={self.display_id}>"


class Displays:
    """Sends display events, in order with what was printed before them."""

    def __init__(self, channel: Channel, capture: Capture, values: Values) -> None:
        self._channel = channel
        self._capture = capture
        self._values = values
        _displays[:] = [self]

    def show(
        self, value: object, *, raw: bool = False, metadata: dict[str, Any] | None = None,
        display_id: str | None = None, update: bool = False,
    ) -> None:  # fmt: skip
        """One event; `raw`: the value is a MIME bundle already. Raises `ValueError` when it is too large."""
        data, extra = self._values.checked(value, metadata) if raw else self._values.bundle(value)
        told: dict[str, Any] = {"data": data, "metadata": extra | (metadata or {})}
        if display_id is not None:
            told["display_id"] = display_id
        if update:
            told["update"] = True
        self._emit(EventKind.DISPLAY, told)

    def clear(self, wait: bool) -> None:
        """A `clear_output` event."""
        self._emit(EventKind.CLEAR_OUTPUT, {"wait": wait})

    def _emit(self, kind: int, told: dict[str, Any]) -> None:
        body = to_json(told)
        if len(body) > DISPLAY_BYTES_MAX:
            raise ValueError(f"a display of {len(body)} bytes is over the limit of {DISPLAY_BYTES_MAX}")
        # The agent reads three descriptors: what was printed before must be read before, what comes after, after.
        self._capture.settle()
        self._channel.send(Kind.EMIT, (bytes((kind,)), body))
        self._channel.wait_until_read()


_displays: list[Displays] = []


def display(
    *values: object, raw: bool = False, metadata: dict[str, Any] | None = None, display_id: bool | str | None = None,
    update: bool = False, **options: object,
) -> DisplayHandle | None:  # fmt: skip
    """Show values in their richest form. With `display_id` (a name, or True for a new one) they can be replaced later.

    Further options of notebooks (`include`, `exclude`, `transient`, …) are accepted and change nothing.
    """
    if update and not isinstance(display_id, str):
        raise TypeError("display_id is needed to update a display")
    name = binascii.hexlify(os.urandom(ID_BYTES)).decode() if display_id is True else display_id or None
    for value in values:
        _displays[0].show(value, raw=raw, metadata=metadata, display_id=name, update=update)
    return DisplayHandle(name) if name is not None else None


def update_display(value: object, *, display_id: str, **options: Any) -> None:
    """Replace what was shown under this name."""
    display(value, display_id=display_id, update=True, **options)


def clear_output(wait: bool = False) -> None:
    """Clear what was shown so far; with `wait`, when the next output comes."""
    _displays[0].clear(bool(wait))
