"""An exception of a tenant's, as the result tells it and as text: the tenant's frames only, with their source lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType

from replwire.hints import Any, Final

FRAMES_MAX: Final = 100
"""Of one traceback; of a longer one the first and the last halves."""

TEXT_CHARS_MAX: Final = 128 * 1024
MESSAGE_CHARS_MAX: Final = 8 * 1024

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def is_ours(filename: str) -> bool:
    """Whether it is a file of the worker's."""
    return filename.startswith(_OURS)


def described(error: BaseException, *, interrupted: bool) -> tuple[dict[str, Any], str]:
    """`error` of the result, and the text for stderr. Never raises, whatever the exception's own methods do."""
    import traceback

    first = _first_of_tenant(error.__traceback__)
    told: dict[str, Any] = {"name": _name(error), "message": _message(error), "traceback": []}
    if interrupted:
        told["code"] = "interrupted"
    try:
        whole = traceback.TracebackException(type(error), error, first, compact=True)
        _keep_tenants(whole, set())
        told["traceback"] = [_frame(frame) for frame in _bounded(list(whole.stack))]
        text = "".join(whole.format())
    except BaseException as fault:
        text = f"{told['name']}: {told['message']}\n(its traceback can't be shown: {type(fault).__name__})\n"
    return told, _cut(text)


def _first_of_tenant(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and is_ours(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


def _keep_tenants(whole: Any, seen: set[int]) -> None:
    """Take the worker's own frames out, of causes and members of groups as well."""
    if whole is None or id(whole) in seen:
        return
    seen.add(id(whole))
    whole.stack[:] = [frame for frame in whole.stack if not is_ours(frame.filename)]
    for other in (whole.__cause__, whole.__context__, *(getattr(whole, "exceptions", None) or ())):
        _keep_tenants(other, seen)


def _bounded(frames: list[Any]) -> Iterator[Any]:
    if len(frames) <= FRAMES_MAX:
        yield from frames
    else:
        yield from frames[: FRAMES_MAX // 2]
        yield from frames[-FRAMES_MAX // 2 :]


def _frame(frame: Any) -> dict[str, Any]:
    told = {"file": frame.filename, "line": frame.lineno, "name": frame.name}
    return {**told, "source": frame.line} if frame.line else told


def _name(error: BaseException) -> str:
    kind = type(error)
    module = getattr(kind, "__module__", None)
    name = str(getattr(kind, "__qualname__", kind.__name__))
    return name if module in ("builtins", "__main__", None) else f"{module}.{name}"


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE_CHARS_MAX]
    except BaseException:
        return "(its text can't be made)"


def _cut(text: str) -> str:
    if len(text) <= TEXT_CHARS_MAX:
        return text
    half = TEXT_CHARS_MAX // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters cut]\n{text[-half:]}"
