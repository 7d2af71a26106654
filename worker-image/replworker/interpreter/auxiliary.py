"""Requests that are no evals: complete, inspect, variables, files."""

from __future__ import annotations

from _contextvars import Context

from replwire.hints import Any, Final
from replworker.interpreter.files import Files
from replworker.interpreter.gate import Gate
from replworker.interpreter.state import StateKeeper

SETTLE_S: Final = 0.25
"""So long `variables` waits for a checkpoint that a child still takes: half of the time that it has itself."""


class Auxiliary:
    """In one namespace. What they need is imported when they are first asked for: most sessions never do."""

    def __init__(
        self, namespace: dict[str, Any], *, gate: Gate, context: Context, state: StateKeeper, files: Files,
        work_folder: str,
    ) -> None:  # fmt: skip
        self._namespace = namespace
        self._gate = gate
        self._context = context
        self._state = state
        self._files = files
        self._work_folder = work_folder

    def serve(self, type_: bytes, payload: dict[str, Any]) -> dict[str, Any]:
        """Runs a tenant's `__dir__`, `__repr__` and the like: the agent interrupts what takes too long."""
        gate, is_settled = self._gate, type_ != b"variables" or self._state.settle(within_s=SETTLE_S)
        try:
            gate.open()
            answer: dict[str, Any] = self._context.run(self._answer, type_, payload, is_settled)
            gate.is_open = False
        except KeyboardInterrupt:
            gate.is_open = False
            answer = fault("timeout", "it took too long and was interrupted")
        except BaseException as error:
            gate.is_open = False
            answer = fault("bad_message", f"code of the session failed: {type(error).__name__}")
        return answer

    def _answer(self, type_: bytes, payload: dict[str, Any], is_settled: bool) -> dict[str, Any]:
        if type_ == b"files":
            return self._files.serve(payload)
        if type_ == b"complete":
            from replworker.interpreter.completing import Completer

            return Completer(self._namespace, self._work_folder).complete(payload["code"], payload["cursor"])
        from replworker.interpreter import inspecting

        if type_ == b"inspect":
            detail = payload.get("detail", 0)
            return inspecting.inspected(payload["code"], payload["cursor"], detail, self._namespace)
        is_kept = self._state.is_kept if is_settled else None
        return inspecting.variables(payload.get("prefix") or "", self._namespace, self._state.unsaved, is_kept=is_kept)


def fault(code: str, message: str) -> dict[str, Any]:
    """A reply that is an error."""
    return {"error": {"code": code, "message": message}}
