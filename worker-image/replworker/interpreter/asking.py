"""`input()` and `getpass()`, asked of the client."""

from __future__ import annotations

from replwire.frames import END_OF_INPUT, Flag, Kind
from replwire.hints import Any, Final
from replworker.interpreter.capture import Capture
from replworker.interpreter.channel import Channel
from replworker.interpreter.gate import Gate
from replworker.plain_json import to_json

PROMPT_CHARS_MAX: Final = 4096


NOT_ALLOWED: Final = "this eval has no stdin: send it with allow_stdin"
ENDED: Final = "the client ended the input"


class Asker:
    """Asks one question at a time, in the main thread, while an eval with `allow_stdin` runs."""

    def __init__(self, channel: Channel, capture: Capture, gate: Gate) -> None:
        self._channel = channel
        self._capture = capture
        self._gate = gate
        self._running = b""

    def begin(self, request_id: bytes, flags: int) -> None:
        """The eval that runs now may ask, or may not."""
        self._running = request_id if flags & Flag.STDIN else b""

    def end(self) -> None:
        """Nobody may ask now."""
        self._running = b""

    def ask(self, prompt: object = "", *, password: bool = False) -> str:
        """The client's line without its end. Raises `EOFError` when this eval may not ask, or the client says so."""
        if not self._running:
            raise EOFError(NOT_ALLOWED)
        if not self._gate.is_main:
            raise RuntimeError("stdin can be read in the main thread only")
        self._capture.flush()
        question = {"prompt": str(prompt)[:PROMPT_CHARS_MAX], "password": password}
        self._channel.send(Kind.ASK, (to_json(question),))
        answer = self._answer()
        if answer == END_OF_INPUT:
            raise EOFError(ENDED)
        return answer

    def _answer(self) -> str:
        while True:
            frame = self._channel.next_frame()
            # An answer to a question of an eval that was interrupted meanwhile is not ours.
            if frame.kind == Kind.INPUT and frame.parts[0] == self._running:
                return frame.parts[1].decode("utf-8", "replace")

    def make_input(self) -> Any:
        """The builtin `input`."""

        def input(prompt: object = "", /) -> str:
            """Ask the client for a line; the prompt is shown there. Raises EOFError when this eval has no stdin."""
            return self.ask(prompt)

        return _as_of("builtins", input)

    def make_getpass(self) -> Any:
        """`getpass.getpass`."""

        def getpass(prompt: str = "Password: ", stream: object = None, **options: object) -> str:
            """Ask the client for a line that it does not show. Raises EOFError when this eval has no stdin."""
            return self.ask(prompt, password=True)

        return _as_of("getpass", getpass)


def _as_of(module: str, function: Any) -> Any:
    """It says that it is the module's own, so that a checkpoint keeps it by name."""
    function.__module__ = module
    function.__qualname__ = function.__name__
    return function
