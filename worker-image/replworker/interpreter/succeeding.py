"""How the shadow becomes the interpreter when that one has died: what is checked first, and what is put in place.

All that the tenant's objects see is as it was after the checkpoint, but for what a fork does not have: threads, timers,
and descriptors, which it has let go of. Our own descriptors get the numbers that they had.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from replwire.frames import Kind
from replwire.hints import NoReturn
from replworker.interpreter import copies, spare
from replworker.interpreter.capture import Capture
from replworker.interpreter.channel import Channel
from replworker.interpreter.children import Children
from replworker.interpreter.evaluating import Evaluator
from replworker.interpreter.shadow import Handed, Woken
from replworker.interpreter.state import StateKeeper
from replworker.plain_json import to_json
from replworker.sockets import Socket, put_in_place


class Successor:
    """Of one interpreter; `channels` are those for states, pipes and shadows."""

    def __init__(
        self, channel: Channel, capture: Capture, children: Children, evaluator: Evaluator, state: StateKeeper, *,
        channels: tuple[Socket, Socket, Socket],
    ) -> None:  # fmt: skip
        self._channel = channel
        self._capture = capture
        self._children = children
        self._evaluator = evaluator
        self._state = state
        self._channels = channels

    def take_over(self, woken: Woken) -> None:
        """In the shadow: be the interpreter, and say so; or say why not, and end."""
        try:
            self._channel.take_over(woken.handed.control)
            reason = self._state.why_not(copies.original())
            if reason:
                self._refuse(reason)
            self._put_in_place(woken.handed)
            copies.this_is_the_original()
            self._children.take_over()
            self._evaluator.take_over()
            lost = self._state.take_over(woken.unsaved)
            woken.undo()
            spare.keep_back()
            self._channel.send(Kind.READY, (to_json({"unsaved": lost}),))
            _signal.pthread_sigmask(_signal.SIG_SETMASK, woken.mask)
        except BaseException:
            os._exit(1)

    def _put_in_place(self, handed: Handed) -> None:
        for sock, fd in zip(self._channels, (handed.state, handed.pipe, handed.shadow), strict=True):
            put_in_place(fd, sock.fileno())
        put_in_place(os.open(os.devnull, os.O_RDONLY), 0, inheritable=True)
        self._capture.take_over(handed.stdout, handed.stderr)

    def _refuse(self, reason: str) -> NoReturn:
        copies.this_is_the_original()
        self._channel.send(Kind.READY, (to_json({"refused": reason}),))
        os._exit(0)
