"""This process's open internal socket to one worker: frames out, frames in, calls with an answer.

A link knows nothing of sessions. Its listener hears every frame that is not the answer to a call, and once that the
link is lost. What comes behind the WELCOME is not read before the listener says `serve()`: until the session has the
link in hand, nobody could make anything of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, NamedTuple, Protocol, cast

from orchestrator.core.outcomes import ProtocolBreach, read_object
from replwire import frames
from replwire.errors import ERROR_CODES, WireError
from replwire.frames import COUNT, Flag, Frame, FrameError, FrameReader, Kind, frame_head, pack_frame

SOON_S: Final = 0.005
"""How long a hint may wait for company."""

CALL_TIMEOUT_S: Final = 5.0
"""For the answer to a call that the agent gives at once."""

_ANSWERS: Final = frozenset({Kind.REPLY, Kind.REFUSED, Kind.WELCOME})
_BEFORE_WELCOME: Final = frozenset({Kind.HELLO, Kind.DIED})
"""What a worker may say by itself to a link that is not attached; nobody has to hear it."""

PARKING: Final = "parking"
"""In a refusal: the worker is about to end, and the request was not begun."""

BEGAN: Final = "began"
"""In a refusal: the request had begun when its interpreter died, and has no effect."""

RETRY_AFTER_MS_MAX: Final = 60_000
"""A worker's word about when to ask again, at most."""

Then = Callable[[dict[str, Any]], None]
"""Told an answer at once, before the frames behind it are read."""


class _Call(NamedTuple):
    answer: asyncio.Future[dict[str, Any]]
    then: Then | None


class LinkListener(Protocol):
    """Who owns the link."""

    def frame_received(self, link: Link, frame: Frame) -> None:
        """A frame that answers no call; may raise `ProtocolBreach`."""

    def link_lost(self, link: Link, cause: str) -> None:
        """Nothing more will come; `cause` is for people, empty when the other side just went."""


class Link(asyncio.Protocol):
    """Made by `open_link`."""

    def __init__(self, listener: LinkListener, window_bytes: int, beyond_bytes: int) -> None:
        self._listener = listener
        self._reader = FrameReader()
        self._calls: dict[int, _Call] = {}
        self._transport: asyncio.Transport | None = None
        self._later: list[bytes] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._last_ref = 0
        self._window_bytes = window_bytes
        self._unreturned_bytes_max = 4 * window_bytes + beyond_bytes
        self._unreturned_bytes = 0
        self._to_return_bytes = 0
        self._is_serving = False
        self._is_welcome = False
        self.lost = False

    def next_ref(self) -> int:
        """A number for a request on this link."""
        self._last_ref = self._last_ref % 0xFFFF_FFFF + 1
        return self._last_ref

    def send(self, kind: int, parts: tuple[bytes, ...] = (), *, flags: int = 0, ref: int = 0) -> None:
        """Write one frame; does nothing on a lost link, whose listener has been told."""
        if self._later:
            self._later.append(pack_frame(kind, parts, flags=flags, ref=ref))
            self._flush()
        elif self._transport is not None and not self.lost:
            self._transport.write(pack_frame(kind, parts, flags=flags, ref=ref))

    def send_soon(self, kind: int, parts: tuple[bytes, ...] = ()) -> None:
        """Send with the next frame, or alone within `SOON_S`: a hint that is not worth waking the agent for."""
        self._later.append(pack_frame(kind, parts))
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(SOON_S, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._later and self._transport is not None and not self.lost:
            self._transport.write(b"".join(self._later))
        self._later.clear()

    async def call(
        self,
        kind: int,
        parts: tuple[bytes, ...] = (),
        *,
        chunks: AsyncGenerator[tuple[bytes, bytes]] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        then: Then | None = None,
    ) -> dict[str, Any]:
        """Send, chunks behind it as they come, and wait for the answer's JSON, from then on for `timeout_s`. A REFUSED
        answer is raised as its `WireError`."""
        ref = self.next_ref()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[ref] = _Call(future, then)
        try:
            self.send(kind, parts, ref=ref)
            if chunks is not None:
                await self._send_chunks(ref, chunks)
            if self.lost:
                raise _out_of_reach()
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise WireError("worker_unresponsive", "the worker does not answer") from None
        finally:
            self._calls.pop(ref, None)

    async def _send_chunks(self, ref: int, chunks: AsyncGenerator[tuple[bytes, bytes]]) -> None:
        async with aclosing(chunks):
            async for chunk in chunks:
                if self.lost:
                    return
                self._send_chunk(chunk, ref)

    def _send_chunk(self, chunk: tuple[bytes, bytes], ref: int) -> None:
        """In pieces: a chunk is not copied once more to be joined with its head."""
        self._flush()
        if self._transport is not None and not self.lost:
            self._transport.writelines((frame_head(Kind.CHUNK, chunk, ref=ref), *chunk))

    def serve(self) -> None:
        """The listener is ready: what came behind the WELCOME goes to it now, and all that comes later at once."""
        self._is_serving = True
        if self._transport is not None and not self.lost:
            self._transport.resume_reading()
            self._take_frames()

    def consumed(self, count_bytes: int) -> None:
        """So many bytes of events have left for every client: the agent may send as many again."""
        self._to_return_bytes += count_bytes
        if self._to_return_bytes * 8 >= self._window_bytes:
            self.send(Kind.CREDIT, (COUNT.pack(self._to_return_bytes),))
            self._unreturned_bytes -= self._to_return_bytes
            self._to_return_bytes = 0

    def close(self) -> None:
        """Hang up; the listener is not told."""
        self._end("closed", tell=False)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._reader.feed(data)
        self._take_frames()

    def _take_frames(self) -> None:
        try:
            for frame in self._reader:
                self._received(frame)
                if self._is_welcome and not self._is_serving:
                    self._hold()
                    return
        except (FrameError, ProtocolBreach) as breach:
            self._end(f"worker_protocol_error: {breach}", tell=True)

    def _hold(self) -> None:
        """Stop reading; what was read already stays where it is."""
        if self._transport is not None and not self.lost:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._end("", tell=True)

    def _received(self, frame: Frame) -> None:
        kind = frame.kind
        if kind in _ANSWERS and frame.ref in self._calls:
            self._answered(self._calls[frame.ref], frame)
        elif self._is_serving and not self.lost:
            if kind == Kind.EVENT:
                self._count(frame)
            self._listener.frame_received(self, frame)
        elif not self.lost and kind not in _BEFORE_WELCOME:
            raise ProtocolBreach(f"a frame of kind {kind} before the welcome")

    def _answered(self, call: _Call, frame: Frame) -> None:
        self._is_welcome = self._is_welcome or frame.kind == Kind.WELCOME
        if call.answer.done():
            return
        if frame.kind == Kind.REFUSED:
            call.answer.set_exception(refusal(frame))
            return
        body = read_object(frame.parts[0] if frame.parts else b"{}")
        if call.then is not None:
            call.then(body)
        call.answer.set_result(body)

    def _count(self, frame: Frame) -> None:
        self._unreturned_bytes += frames.EVENT_OVERHEAD_BYTES + (len(frame.parts[-1]) if frame.parts else 0)
        if self._unreturned_bytes > self._unreturned_bytes_max:
            raise ProtocolBreach("more output than there was credit for")

    def _end(self, cause: str, *, tell: bool) -> None:
        if self.lost:
            return
        self._flush()
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(_out_of_reach())
        if tell:
            self._listener.link_lost(self, cause)


def refusal(frame: Frame) -> WireError:
    """A REFUSED frame as the error that it stands for; raises `ProtocolBreach` when it is not one."""
    body = read_object(frame.parts[0] if frame.parts else b"{}")
    code, message = body.pop("code", None), body.pop("message", "")
    if code not in ERROR_CODES or not isinstance(message, str):
        raise ProtocolBreach("a refusal without a code of ours")
    seq, retry_after_ms = body.get("seq"), body.get("retry_after_ms")
    details: dict[str, object] = {"seq": seq} if isinstance(seq, int) else {}
    details.update({word: True for word in (PARKING, BEGAN) if body.get(word)})
    later = retry_after_ms if isinstance(retry_after_ms, int) and 0 <= retry_after_ms <= RETRY_AFTER_MS_MAX else None
    return WireError(str(code), message[:1000], retry_after_ms=later, **details)


def _out_of_reach() -> WireError:
    return WireError("busy", "the worker went out of reach", retry_after_ms=200)


async def open_link(sock: socket.socket, listener: LinkListener, limits: Mapping[str, int]) -> Link:
    """A link over a connected socket; `limits` are the session's."""
    # The agent finishes the event that it began with the last of its credit, and sends again all that it keeps.
    kept_bytes = limits["event_bytes_kept_max"] + limits["events_kept_max"] * frames.EVENT_OVERHEAD_BYTES
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(
        lambda: Link(listener, limits["link_window_bytes"], frames.FRAME_BYTES_MAX + kept_bytes), sock=sock
    )
    return link


def request_flags(*, stream: bool, numbered: bool, stdin: bool) -> int:
    """The flags of a REQUEST frame."""
    return (Flag.STREAM if stream else 0) | (Flag.NUMBERED if numbered else 0) | (Flag.STDIN if stdin else 0)
