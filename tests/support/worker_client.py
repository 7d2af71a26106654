"""A front door of one worker, for tests: a blocking socket, frames out, frames in."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from replwire.envelopes import canonical
from replwire.frames import COUNT, NONE, OUTCOME_HEAD, SEQ, Flag, Frame, FrameReader, Kind, pack_frame
from replwire.limits import default_limits

WAIT_S = 10.0
"""For a frame that has to come."""


class Outcome:
    """An OUTCOME frame, its parts by name."""

    def __init__(self, frame: Frame) -> None:
        (
            head, self.id, self.type, self.hash, self.stamp, self.principal, self.body, told, self.stdout, self.stderr,
            self.manifest, self.references,
        ) = frame.parts  # fmt: skip
        self.ref = frame.ref
        self.seq, self.first_event, self.last_event, self.written, self.cut = OUTCOME_HEAD.unpack(head)
        self.told: dict[str, Any] = json.loads(told)


class WorkerClient:
    """One link. Frames that a test did not ask for yet wait in `frames`, in order."""

    def __init__(self, place: str | socket.socket, *, connect_within_s: float = WAIT_S) -> None:
        self.sock = _connected(place, connect_within_s) if isinstance(place, str) else place
        self.sock.settimeout(WAIT_S)
        self.frames: list[Frame] = []
        self._reader = FrameReader()
        self._refs = itertools.count(1)
        self.hello = self.json_of(self.next_frame(Kind.HELLO))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    # --- frames -------------------------------------------------------------------------------------------------

    def send(self, kind: int, *parts: bytes, flags: int = 0, ref: int | None = None) -> int:
        """Write a frame; its ref."""
        ref = next(self._refs) if ref is None else ref
        self.sock.sendall(pack_frame(kind, parts, flags=flags, ref=ref))
        return ref

    def next_frame(self, *kinds: int, ref: int | None = None, wait_s: float = WAIT_S) -> Frame:
        """The next frame of one of these kinds (and of this ref); others are kept. `TimeoutError`, `EOFError`."""
        deadline = time.monotonic() + wait_s
        while (found := self._taken(kinds, ref)) is None:
            self._receive(deadline)
        return found

    def has_frame(self, *kinds: int, ref: int | None = None) -> bool:
        """Whether such a frame has come so far; it is not taken. A PING makes sure that the agent had its turn."""
        self.ping()
        return any(frame.kind in kinds and ref in (None, frame.ref) for frame in self.frames)

    def is_closed(self, wait_s: float = WAIT_S) -> bool:
        """Whether the worker hangs up within that time."""
        deadline = time.monotonic() + wait_s
        try:
            while True:
                self._receive(deadline)
        except EOFError:
            return True
        except TimeoutError:
            return False

    def _taken(self, kinds: tuple[int, ...], ref: int | None) -> Frame | None:
        for position, frame in enumerate(self.frames):
            if (not kinds or frame.kind in kinds) and ref in (None, frame.ref):
                return self.frames.pop(position)
        return None

    def _receive(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the frame did not come; there are {[frame.kind for frame in self.frames]}")
        self.sock.settimeout(left_s)
        try:
            data = self.sock.recv(256 * 1024)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError("the worker hung up")
        self._reader.feed(data)
        self.frames.extend(self._reader)

    @staticmethod
    def json_of(frame: Frame) -> dict[str, Any]:
        """A frame whose first part is JSON."""
        said: dict[str, Any] = json.loads(frame.parts[0])
        return said

    # --- the worker's life --------------------------------------------------------------------------------------

    def claim(
        self,
        *,
        session: str = "ses_a",
        generation: int = 1,
        link_key: str = "key",
        seq: int = 0,
        durability: str = "commit",
        takeover: bool = False,
        limits: dict[str, int] | None = None,
        ids: Iterable[tuple[str, bytes, int]] = (),
        manifest: bytes = b"",
        chunks: Iterable[tuple[bytes, bytes]] = (),
    ) -> dict[str, Any]:
        """Claim the worker; the body of its WELCOME or REFUSED."""
        chunks = list(chunks)
        said = {
            "session": session,
            "generation": generation,
            "link_key": link_key,
            "seq": seq,
            "durability": durability,
            "limits": {**default_limits(), **(limits or {})},
            "ids": [[id_, hashed.hex(), number] for id_, hashed, number in ids],
            "chunks": len(chunks),
            "takeover": takeover,
        }
        ref = self.send(Kind.CLAIM, json.dumps(said).encode(), manifest)
        for content_id, data in chunks:
            self.send(Kind.CHUNK, content_id, data, ref=ref)
        return self.json_of(self.next_frame(Kind.WELCOME, Kind.REFUSED, ref=ref))

    def attach(self, *, session: str = "ses_a", generation: int = 1, link_key: str = "key") -> dict[str, Any]:
        """Attach to a claimed worker; the body of its WELCOME or REFUSED."""
        said = {"session": session, "generation": generation, "link_key": link_key}
        ref = self.send(Kind.ATTACH, json.dumps(said).encode())
        return self.json_of(self.next_frame(Kind.WELCOME, Kind.REFUSED, ref=ref))

    # --- requests -----------------------------------------------------------------------------------------------

    def request(
        self,
        type_: str,
        payload: dict[str, Any],
        *,
        id_: str | None = None,
        if_seq: int = NONE,
        stream: bool = False,
        numbered: bool | None = None,
        stdin: bool = False,
    ) -> int:
        """Send a request and don't wait; its ref. Its id is `r` and the ref unless one is given."""
        ref = next(self._refs)
        body = canonical(payload).encode()
        numbered = type_ == "eval" if numbered is None else numbered
        flags = (Flag.STREAM if stream else 0) | (Flag.NUMBERED if numbered else 0) | (Flag.STDIN if stdin else 0)
        hashed = body_hash(type_, payload)
        name = (f"r{ref}" if id_ is None else id_).encode()
        return self.send(
            Kind.REQUEST, SEQ.pack(if_seq), name, type_.encode(), hashed, b"stamp", b"ann", body, flags=flags, ref=ref
        )

    def eval(self, code: str, *, wait_s: float = WAIT_S, **how: Any) -> Outcome:
        """Run code to its end and confirm it; the outcome. Raises `AssertionError` when it was refused."""
        outcome = self.outcome(self.request("eval", {"code": code}, **how), wait_s=wait_s)
        self.confirm(outcome)
        return outcome

    def outcome(self, ref: int | None = None, *, wait_s: float = WAIT_S) -> Outcome:
        """The outcome of a numbered request. Raises `AssertionError` when it was refused."""
        frame = self.next_frame(Kind.OUTCOME, Kind.REFUSED, Kind.DIED, ref=ref, wait_s=wait_s)
        assert frame.kind == Kind.OUTCOME, self.json_of(frame)
        return Outcome(frame)

    def confirm(self, outcome: Outcome) -> None:
        """Everything up to it is committed."""
        self.send(Kind.CONFIRM, SEQ.pack(outcome.seq), outcome.id, b"receipt")

    def ask(self, type_: str, payload: dict[str, Any], **how: Any) -> dict[str, Any]:
        """A request without a number; the body of its REPLY or REFUSED."""
        return self._said(self.request(type_, payload, **how))

    def interrupt(self, target: str = "", reason: str = "interrupt") -> dict[str, Any]:
        """The body of the REPLY."""
        return self._said(self.send(Kind.INTERRUPT, target.encode(), reason.encode()))

    def cancel(self, target: str) -> dict[str, Any]:
        """The body of the REPLY."""
        return self._said(self.send(Kind.CANCEL, target.encode()))

    def input(self, target: str, text: str) -> dict[str, Any]:
        """The body of the REPLY."""
        return self._said(self.send(Kind.INPUT, target.encode(), text.encode()))

    def replay(self, number: int) -> dict[str, Any]:
        """The body of the REPLY; the events are in `frames`."""
        return self._said(self.send(Kind.REPLAY, COUNT.pack(number)))

    def credit(self, count_bytes: int) -> None:
        """So many bytes of events have been passed on."""
        self.send(Kind.CREDIT, COUNT.pack(count_bytes))

    def ping(self) -> None:
        """Wait until the agent has dealt with what was sent before."""
        self._said(self.send(Kind.PING))

    def _said(self, ref: int) -> dict[str, Any]:
        return self.json_of(self.next_frame(Kind.REPLY, Kind.REFUSED, ref=ref))

    def events(self) -> Iterator[tuple[int, int, int, bytes, bytes]]:
        """Number, seq, kind, request id and body of every event that has come so far; they are taken."""
        for frame in [frame for frame in self.frames if frame.kind == Kind.EVENT]:
            self.frames.remove(frame)
            yield event_of(frame)


def event_of(frame: Frame) -> tuple[int, int, int, bytes, bytes]:
    """Number, seq, kind, request id and body of an EVENT frame."""
    from replwire.frames import EVENT_HEAD

    head, id_, body = frame.parts
    return (*EVENT_HEAD.unpack(head), id_, body)


def body_hash(type_: str, payload: dict[str, Any]) -> bytes:
    """What this client sends as a request's hash."""
    return hashlib.sha256(canonical({"type": type_, "payload": payload}).encode()).digest()


def _connected(path: str, within_s: float) -> socket.socket:
    """A worker makes its socket when it has started, so dialling is tried again."""
    deadline = time.monotonic() + within_s
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
            return sock
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
