"""What Python says by itself on stderr: exceptions of threads and in finalizers, warnings. Without frames of ours, and
with the source lines of evals."""

from __future__ import annotations

import sys
from types import CodeType, ModuleType

from replwire.hints import Any, Final
from replworker.interpreter.failures import described, is_ours, repr_of
from replworker.interpreter.import_hooks import Change

NOWHERE: Final = "sys", 1
"""Where Python says that something is when no code runs."""


def install() -> dict[str, Change]:
    """The hook for finalizers; gives the changes to modules that nobody may ever import."""
    sys.unraisablehook = _tell_unraisable
    return {"threading": _change_threading, "warnings": _change_warnings}


def _tell_unraisable(told: Any) -> None:
    head = told.err_msg or "Exception ignored in"
    where = "" if told.object is None else f": {repr_of(told.object)}"
    _tell(f"{head}{where}\n", told)


def _change_threading(threading: ModuleType) -> None:
    def excepthook(told: Any, /) -> None:
        """Handle an exception of a thread."""
        if told.exc_type is not SystemExit:
            name = told.thread.name if told.thread is not None else threading.get_ident()
            _tell(f"Exception in thread {name}:\n", told)

    vars(threading)["excepthook"] = excepthook


def _tell(head: str, told: Any) -> None:
    failure = told.exc_value if told.exc_value is not None else told.exc_type()
    if sys.stderr is not None:
        sys.stderr.write(head + described(failure, interrupted=False)[1])


def _change_warnings(warnings: ModuleType) -> None:
    show = vars(warnings)["_showwarnmsg_impl"]

    def show_elsewhere(told: Any) -> None:
        """A warning that came while code of ours ran is about what the tenant left behind."""
        if is_ours(told.filename):
            told.filename, told.lineno = _home_of(told.source)
        show(told)

    vars(warnings)["_showwarnmsg_impl"] = show_elsewhere


def _home_of(source: object) -> tuple[str, int]:
    """Where a coroutine that nobody awaited was written; anything else could be from anywhere."""
    code = getattr(source, "cr_code", None)
    return (code.co_filename, code.co_firstlineno) if isinstance(code, CodeType) else NOWHERE
