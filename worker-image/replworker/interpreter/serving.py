"""The interpreter's process: makes the namespace, then serves frames one at a time until the agent goes away."""

from __future__ import annotations

import builtins
import os
import select
import sys
from _contextvars import copy_context
from types import ModuleType

from replwire.frames import SEQ, Flag, Frame, FrameError, Kind, pack_frame
from replwire.hints import Any, Final, NoReturn
from replworker.interpreter import copies, display, hooks, spare
from replworker.interpreter.asking import Asker
from replworker.interpreter.auxiliary import Auxiliary, fault
from replworker.interpreter.c_output import COutput
from replworker.interpreter.capture import Capture
from replworker.interpreter.channel import Channel
from replworker.interpreter.children import Children
from replworker.interpreter.compiling import Compiler
from replworker.interpreter.evaluating import Evaluator
from replworker.interpreter.failures import is_tenants
from replworker.interpreter.files import Files
from replworker.interpreter.gate import Gate
from replworker.interpreter.handlers import Handlers
from replworker.interpreter.import_hooks import Change, ImportHook
from replworker.interpreter.shadow import Woken
from replworker.interpreter.sources import Sources
from replworker.interpreter.state import State, StateKeeper
from replworker.interpreter.streams import Input, Output
from replworker.interpreter.succeeding import Successor
from replworker.interpreter.values import Values
from replworker.plain_json import from_json, to_json
from replworker.rehearsals import IDLE_BEFORE_S, ROUNDS
from replworker.sockets import Socket

_BUILTINS: Final = {
    "display": display.display, "update_display": display.update_display, "clear_output": display.clear_output,
}  # fmt: skip

_REHEARSED: Final = "1 + 1"


class Interpreter:
    """Everything of one session that runs a tenant's code."""

    def __init__(
        self, control: Socket, state_channel: Socket, pipe_channel: Socket, shadow_channel: Socket, work_folder: str
    ) -> None:
        copies.this_is_the_original()
        self._main = _make_main()
        self._gate = gate = Gate()
        context = copy_context()
        """All of the tenant's code runs in this one, so that what an eval sets the next one finds."""
        self._channel = Channel(control, gate)
        self._capture = Capture(gate)
        self._c_output = COutput()
        self._values = Values()
        self._sources = Sources()
        self._asker = Asker(self._channel, self._capture, gate)
        self._files = Files(work_folder)
        self._stderr = stderr = self._take_over_streams()
        self._children = Children()
        self._handlers = Handlers(gate, stderr.write)
        self._evaluator = Evaluator(
            vars(self._main), gate=gate, context=context, values=self._values, sources=self._sources,
            compiler=Compiler(), stderr=stderr, children=self._children,
        )  # fmt: skip
        display.Displays(self._channel, self._capture, self._values)
        self._make_builtins()
        self._state = StateKeeper(
            vars(self._main), channel=self._channel, state_channel=state_channel, shadow_channel=shadow_channel,
            work_folder=work_folder, injected=self._injected(), gate=gate, context=context, sources=self._sources,
            children=self._children,
        )  # fmt: skip
        self._pipe_channel = pipe_channel
        self._auxiliary = Auxiliary(
            vars(self._main), gate=gate, context=context, state=self._state, files=self._files, work_folder=work_folder
        )
        self._successor = Successor(
            self._channel, self._capture, self._children, self._evaluator, self._state,
            channels=(state_channel, pipe_channel, shadow_channel),
        )  # fmt: skip
        self._kept = control

    def _take_over_streams(self) -> Output:
        capture = self._capture
        stdout = Output(capture, capture.stdout, 1, "<stdout>")
        stderr = Output(capture, capture.stderr, 2, "<stderr>")
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = stdout, stderr  # type: ignore[assignment,misc]
        sys.stdin = sys.__stdin__ = Input(self._asker.ask)  # type: ignore[assignment,misc]
        return stderr

    def _make_builtins(self) -> None:
        builtins.input = self._asker.make_input()
        for name, value in _BUILTINS.items():
            setattr(builtins, name, value)
        getpass = self._asker.make_getpass()
        changes: dict[str, Change] = {
            "getpass": lambda module: setattr(module, "getpass", getpass),
            "linecache": self._sources.show_in,
            "signal": self._handlers.change,
        }
        ImportHook(changes | hooks.install()).install()

    def _injected(self) -> dict[str, object]:
        """What is ours and a tenant may have bound to a name of his own."""
        return {**_BUILTINS, "input": builtins.input, "stdout": sys.stdout, "stderr": sys.stderr, "stdin": sys.stdin}

    # --- frames -------------------------------------------------------------------------------------------------

    def serve(self) -> NoReturn:
        """For ever."""
        self._channel.send(Kind.READY, (b"{}",))
        if not self._channel.has_news(within_s=IDLE_BEFORE_S):
            self._rehearse()
        while True:
            try:
                self._serve_one(self._wait())
            except Woken as woken:
                self._successor.take_over(woken)

    def _rehearse(self) -> None:
        """Evals that nobody asked for and nothing is left of; see `replworker.agent.rehearsal`."""
        for _ in range(ROUNDS):
            told = self._evaluator.run(0, _REHEARSED, silent=False)
            self._flush()
            self._state.rehearse()
            pack_frame(Kind.DONE, (to_json(told), b"", b""))
        self._evaluator.forget()
        self._sources.forget()
        spare.keep_back()

    def _wait(self) -> Frame:
        """The next frame. What a tenant's signal handler raises meanwhile (a forgotten alarm) is told, no more."""
        while True:
            try:
                return self._next_frame()
            except BaseException as failure:
                if not is_tenants(failure):
                    raise
                self._handlers.tell(failure)

    def _next_frame(self) -> Frame:
        """Wait for one; meanwhile the child that takes a checkpoint may end."""
        child_fd = self._state.child_fd
        if child_fd is not None:
            poll = select.poll()
            poll.register(self._channel.fd, select.POLLIN)
            poll.register(child_fd, select.POLLIN)
            if any(fd == child_fd for fd, _ in poll.poll()):
                self._state.collect(is_current=True)
        return self._channel.next_frame()

    def _serve_one(self, frame: Frame) -> None:
        if frame.kind == Kind.RUN:
            self._run(frame)
        elif frame.kind == Kind.RESTORE:
            self._restore(frame)
        # Anything else is an answer that came too late.

    def _restore(self, frame: Frame) -> None:
        text, manifest = frame.parts
        told = from_json(text)
        self._state.expect(told["chunks"])
        chunks = dict(self._next_chunk() for _ in range(told["chunks"]))
        limits = told["limits"]
        self._values.limit(limits["value_bytes_max"], limits["repr_bytes_max"])
        self._files.limit(limits["file_bytes_max"])
        self._state.limit(limits["files_max"], limits["state_bytes_max"])
        report = self._state.restore(manifest, chunks, reseed=told["reseed"])
        self._evaluator.restored()
        self._flush()
        self._channel.send(Kind.RESTORED, (to_json(report),))

    def _next_chunk(self) -> tuple[bytes, bytes]:
        content_id, data = self._channel.next_frame().parts
        return content_id, data

    def _run(self, frame: Frame) -> None:
        seq, type_, id_, body = frame.parts
        number = SEQ.unpack(seq)[0]
        payload = from_json(body)
        self._state.let_folder_change()
        self._asker.begin(id_, frame.flags)
        told = self._eval(number, payload) if type_ == b"eval" else self._auxiliary.serve(type_, payload)
        self._asker.end()
        self._flush()
        if copies.is_copy():
            copies.end(getattr(sys, "last_value", None) if told.get("error") else None)
        flags = self._leave_behind() if type_ == b"eval" else 0
        state = self._state.checkpoint(number) if frame.flags & Flag.SNAPSHOT else State()
        if type_ == b"eval":
            told["unsaved"] = state.unsaved
        self._done(told, state, flags | state.flags)

    def _leave_behind(self) -> int:
        """What the eval has left running gets the pipes to itself; what DONE says of it."""
        self._state.collect(is_current=False)
        if not self._children.are_left():
            return 0
        spare.lend()
        is_done = self._capture.change_pipes(self._pipe_channel)
        spare.keep_back()
        return Flag.NEW_PIPES if is_done else 0

    def _eval(self, number: int, payload: dict[str, Any]) -> dict[str, Any]:
        return self._evaluator.run(number, payload["code"], silent=bool(payload.get("silent")))

    def _done(self, told: dict[str, Any], state: State, flags: int) -> None:
        try:
            self._channel.send(Kind.DONE, (to_json(told), state.manifest, state.references), flags=flags)
        except FrameError:
            # Each part has its limit; together they may still be over that of a frame.
            cut = _without_value(told) if "receipt" in told else fault("too_large", "the reply")
            self._channel.send(Kind.DONE, (to_json(cut), state.manifest, state.references), flags=flags)

    def _flush(self) -> None:
        self._c_output.flush()
        try:
            self._capture.flush()
        except OSError as error:
            # A file that the tenant has put in the place of stdout or stderr; what it does not take is his loss.
            self._capture.say(f"OSError: {error.strerror}: output is lost\n")


def _without_value(told: dict[str, Any]) -> dict[str, Any]:
    cut_bytes = len(to_json([told["output"], told["data"]]))
    receipt = {**told["receipt"], "truncated": told["receipt"]["truncated"] + cut_bytes}
    return {**told, "output": f"… [{cut_bytes} bytes cut]", "data": {}, "receipt": receipt}


def _make_main() -> ModuleType:
    """A fresh `__main__`: the namespace of the session."""
    main = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def prepare_process(work_folder: str) -> None:
    """What a tenant's program finds: its folder, and modules that it puts there."""
    os.chdir(work_folder)
    sys.path.insert(0, "")
    sys.argv[:] = [""]
    spare.keep_back()
