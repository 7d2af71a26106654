"""One eval: compile, run, show the value, tell how it ended and what it used."""

from __future__ import annotations

import sys
from _contextvars import Context
from resource import RUSAGE_SELF as _SELF
from resource import getrusage
from time import perf_counter, process_time
from types import CodeType

from replwire.hints import Any, Final
from replworker.interpreter import copies, spare
from replworker.interpreter.awaiting import SessionLoop
from replworker.interpreter.children import Children
from replworker.interpreter.compiling import IS_COROUTINE, Compiler
from replworker.interpreter.failures import described, plainly_described, traceback_of
from replworker.interpreter.gate import Gate
from replworker.interpreter.sources import Sources, filename_of
from replworker.interpreter.streams import Output
from replworker.interpreter.values import Values

INTERRUPT_AFTER_S: Final = 0.25
"""An interrupt that comes so soon after an exception was meant for what raised it; a later one, for its text."""

_KIB: Final = 1024
_UNSET: Final = object()


class Usage:
    """Wall and CPU seconds of an eval (child processes that it waited for included), and the memory high-water mark."""

    __slots__ = ("_children", "_cpu_s", "_wall_s")

    def __init__(self, children: Children) -> None:
        self._children = children
        self._cpu_s = process_time()
        self._wall_s = perf_counter()

    def receipt(self) -> dict[str, Any]:
        """Since it was made; the peak is that of the process's life."""
        wall_s = perf_counter() - self._wall_s
        cpu_s = process_time() - self._cpu_s + self._children.cpu_s()
        peak_bytes = getrusage(_SELF).ru_maxrss * _KIB
        return {"wall_s": round(wall_s, 6), "cpu_s": round(cpu_s, 6), "peak_memory_bytes": peak_bytes}


class Evaluator:
    """Runs evals in one namespace."""

    def __init__(
        self, namespace: dict[str, Any], *, gate: Gate, context: Context, values: Values, sources: Sources,
        compiler: Compiler, stderr: Output, children: Children,
    ) -> None:  # fmt: skip
        self._namespace = namespace
        self._gate = gate
        self._context = context
        self._values = values
        self._sources = sources
        self._compiler = compiler
        self._stderr = stderr
        self._children = children
        self._loop = SessionLoop()
        self._shown: object = _UNSET
        """What we put into `_` last."""

    def restored(self) -> None:
        """`_` of the checkpoint is ours to replace, unless it looks like a translation function."""
        found = self._namespace.get("_", _UNSET)
        self._shown = _UNSET if callable(found) else found
        self._compiler.recall(self._namespace)

    def take_over(self) -> None:
        """In a fork: see `SessionLoop`."""
        self._loop.take_over()

    def forget(self) -> None:
        """`_` and what it was."""
        self._namespace.pop("_", None)
        self._shown = _UNSET

    def run(self, number: int, source: str, *, silent: bool) -> dict[str, Any]:
        """The outcome, without what the checkpoint says. Interrupts hit from here to the end of the value's repr."""
        usage, gate = Usage(self._children), self._gate
        self._values.cut_bytes = 0
        text: str | None = None
        data: dict[str, Any] = {}
        error: dict[str, Any] | None = None
        try:
            gate.open()
            try:
                value = self._value_of(source, filename_of(number), silent=silent)
                if value is not None:
                    text, data = self._context.run(self._values.shown, value)
            finally:
                gate.close()
            if value is not None:
                self._remember(value)
        except BaseException as failure:
            gate.is_open = False
            error = self._fail(failure)
        receipt = {**usage.receipt(), "truncated": self._values.cut_bytes}
        return {"output": text, "error": error, "data": data, "unsaved": {}, "receipt": receipt}

    def _value_of(self, source: str, filename: str, *, silent: bool) -> Any:
        statements, expression = self._compiled(source, filename, wants_value=not silent)
        if _awaits(statements) or _awaits(expression):
            return self._loop.run(self._awaited(statements, expression), self._context)
        if statements is not None:
            self._context.run(eval, statements, self._namespace)
        return self._context.run(eval, expression, self._namespace) if expression is not None else None

    async def _awaited(self, *codes: CodeType | None) -> Any:
        """All of it in the loop: what awaits nothing itself finds it running too, as `asyncio.create_task` wants it."""
        value: Any = None
        for code in codes:
            value = None if code is None else eval(code, self._namespace)
            if _awaits(code):
                value = await value
        return value

    def _compiled(self, source: str, filename: str, *, wants_value: bool) -> tuple[CodeType | None, CodeType | None]:
        self._sources.add(filename, source)
        codes: tuple[CodeType | None, CodeType | None] = (None, None)
        try:
            codes = self._compiler.compile(source, filename, wants_value=wants_value)
        finally:
            self._sources.compiled(filename, *codes)
        return codes

    def _remember(self, value: object) -> None:
        """In `_`, unless the tenant has a `_` of his own."""
        if self._namespace.get("_", _UNSET) is self._shown or "_" not in self._namespace:
            self._namespace["_"] = self._shown = value

    def _fail(self, failure: BaseException) -> dict[str, Any]:
        # Not `isinstance`, which asks the object too.
        interrupted = issubclass(type(failure), KeyboardInterrupt) and self._gate.was_used
        spare.lend()
        error, text = self._described(failure, interrupted=interrupted)
        spare.keep_back()
        if not (copies.is_copy() and issubclass(type(failure), SystemExit)):
            self._stderr.write(text)
        # Debuggers (`pdb.pm()`) read these, as in Python's own prompt.
        sys.last_type, sys.last_value, sys.last_traceback = type(failure), failure, traceback_of(failure)
        sys.last_exc = failure  # type: ignore[attr-defined]
        return error

    def _described(self, failure: BaseException, *, interrupted: bool) -> tuple[dict[str, Any], str]:
        """Runs the exception's own methods: an interrupt ends what takes too long."""
        gate = self._gate
        try:
            gate.open(after_s=INTERRUPT_AFTER_S)
            found = self._context.run(described, failure, interrupted=interrupted)
            gate.is_open = False
        except BaseException as fault:
            gate.is_open = False
            found = plainly_described(failure, interrupted=interrupted, fault=type(fault).__name__)
        return found


def _awaits(code: CodeType | None) -> bool:
    return code is not None and bool(code.co_flags & IS_COROUTINE)
