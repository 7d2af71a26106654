"""An exception of a tenant's, as the result tells it and as text: the tenant's frames only, with their source lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType

from replwire.hints import Any, Final
from replworker.interpreter.sources import is_of_eval

FRAMES_MAX: Final = 100
"""Of one traceback; of a longer one the first and the last halves."""

TEXT_CHARS_MAX: Final = 128 * 1024
MESSAGE_CHARS_MAX: Final = 8 * 1024
NAME_CHARS_MAX: Final = 256
"""Of an exception's or a function's name, and of a file's."""
LINE_CHARS_MAX: Final = 512
"""Of a source line in the result's list of frames: all of it together has to fit into a frame of the wire."""

_RUNNERS: Final = ("/asyncio/base_events.py", "/asyncio/events.py", "/threading.py")
"""Where top-level `await` runs, and where threads begin."""

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def is_ours(filename: str) -> bool:
    """Whether it is a file of the worker's."""
    return filename.startswith(_OURS)


def is_tenants(error: BaseException) -> bool:
    """Whether a tenant's code raised it, called by ours or by a signal."""
    return _first_of_tenant(traceback_of(error)) is not None


def described(error: BaseException, *, interrupted: bool) -> tuple[dict[str, Any], str]:
    """`error` of the result, and the text for stderr. Never raises, whatever the exception's own methods do."""
    message = ""
    try:
        message = _message(error)
        traceback, text = _shown(error)
    except BaseException as fault:
        return plainly_described(error, interrupted=interrupted, fault=type(fault).__name__, message=message)
    return _told(error, message, traceback, interrupted=interrupted), _cut(text)


def plainly_described(
    error: BaseException, *, interrupted: bool, fault: str, message: str = ""
) -> tuple[dict[str, Any], str]:
    """The same without any method of the tenant's; `fault` is the name of what came of asking them."""
    traceback, text = _plainly_shown(error, f"{_name(error)}: {message}", fault)
    return _told(error, message, traceback, interrupted=interrupted), _cut(text)


def repr_of(subject: object) -> str:
    """Its repr, or what it is if it has none."""
    try:
        return repr(subject)[:MESSAGE_CHARS_MAX]
    except BaseException:
        return f"<{type.__dict__['__name__'].__get__(type(subject))} object>"


def _told(error: BaseException, message: str, traceback: list[dict[str, Any]], *, interrupted: bool) -> dict[str, Any]:
    told = {"name": _name(error), "message": message, "traceback": traceback}
    return {**told, "code": "interrupted"} if interrupted else told


def _shown(error: BaseException) -> tuple[list[dict[str, Any]], str]:
    import traceback

    if issubclass(type(error), SyntaxError):
        _give_line(error)
    first = _first_of_tenant(traceback_of(error))
    whole = traceback.TracebackException(type(error), error, first, compact=True)
    _keep_tenants(whole, set())
    return [_frame(frame) for frame in _bounded(list(whole.stack))], "".join(whole.format())


def _plainly_shown(error: BaseException, said: str, fault: str) -> tuple[list[dict[str, Any]], str]:
    """Its own frames alone, and nothing that runs a method of the tenant's."""
    said = f"{said}\n(the rest of it can't be shown: {fault})\n"
    try:
        import traceback

        frames = traceback.extract_tb(_first_of_tenant(traceback_of(error)))
        text = "".join(["Traceback (most recent call last):\n", *traceback.format_list(frames), said])
        return [_frame(frame) for frame in _bounded(list(frames))], text
    except BaseException:
        return [], said


def traceback_of(error: BaseException) -> TracebackType | None:
    """Past any property of the tenant's."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def _give_line(error: Any) -> None:
    """What the compiler refuses after the parser took it (`return` outside of a function) comes without its line."""
    import linecache

    filename, line = error.filename, error.lineno
    if error.text is None and line and filename is not None and is_of_eval(filename):
        error.text = linecache.getline(filename, line)


def _first_of_tenant(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and _leads_to_tenant(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


def _leads_to_tenant(filename: str) -> bool:
    return is_ours(filename) or filename.endswith(_RUNNERS)


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
    told = {"file": frame.filename[:NAME_CHARS_MAX], "line": frame.lineno, "name": frame.name[:NAME_CHARS_MAX]}
    return {**told, "source": frame.line[:LINE_CHARS_MAX]} if frame.line else told


def _name(error: BaseException) -> str:
    kind = type(error)
    try:
        module, name = kind.__module__, str(kind.__qualname__)
    except BaseException:
        # A metaclass of the tenant's.
        module, name = None, str(type.__dict__["__name__"].__get__(kind))
    return (name if module in ("builtins", "__main__", None) else f"{module}.{name}")[:NAME_CHARS_MAX]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE_CHARS_MAX]
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "(its text can't be made)"


def _cut(text: str) -> str:
    if len(text) <= TEXT_CHARS_MAX:
        return text
    half = TEXT_CHARS_MAX // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters cut]\n{text[-half:]}"
