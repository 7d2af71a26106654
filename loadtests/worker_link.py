"""A front door of one worker, as small as it can be: claims it, asks, and takes what comes. It blocks."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import time
from typing import Any, Final

from loadtests.measuring import Wrong
from replwire.frames import NONE, OUTCOME_HEAD, SEQ, Flag, Frame, FrameReader, Kind, pack_frame
from replwire.limits import default_limits

ANSWER_TIMEOUT_S: Final = 120.0
RECEIVE_BYTES: Final = 1 << 18
_ANSWERS: Final = frozenset({Kind.OUTCOME, Kind.REPLY, Kind.REFUSED, Kind.DIED, Kind.WELCOME})


class WorkerLink:
    """Of a worker that nobody else has claimed."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(ANSWER_TIMEOUT_S)
        self._sock = sock
        self._reader = FrameReader()
        self._refs = itertools.count(1)
        self.chunk_bytes = 0
        """Of what came since this was set to 0."""

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def claim(self, durability: str, **limits: int) -> None:
        """Raises `Wrong` when it is refused."""
        said = {
            "session": "ses_bench", "generation": 1, "link_key": "key", "seq": 0, "durability": durability,
            "limits": default_limits() | limits, "ids": [], "chunks": 0,
        }  # fmt: skip
        ref = self._send(Kind.CLAIM, json.dumps(said).encode(), b"")
        self._checked(self._answers(1)[ref][0], Kind.WELCOME)

    def eval(self, code: str) -> None:
        """To its end, checkpoint and all; it is confirmed. Raises `Wrong` when it fails."""
        ref = self._request("eval", {"code": code}, numbered=True)
        self._finish(self._answers(1)[ref][0])

    def eval_and_next(self, code: str) -> tuple[float, float]:
        """Milliseconds until the outcome has come, and until the answer to a request that was sent right behind."""
        began = time.perf_counter()
        first = self._request("eval", {"code": code}, numbered=True)
        second = self._request("complete", {"code": "zz", "cursor": 2}, numbered=False)
        found = self._answers(2)
        self._finish(found[first][0])
        self._checked(found[second][0], Kind.REPLY)
        return (found[first][1] - began) * 1e3, (found[second][1] - began) * 1e3

    # --- frames -------------------------------------------------------------------------------------------------

    def _request(self, type_: str, payload: dict[str, Any], *, numbered: bool) -> int:
        body = json.dumps(payload).encode()
        hashed = hashlib.sha256(body).digest()
        id_ = f"r{next(self._refs)}".encode()
        parts = (SEQ.pack(NONE), id_, type_.encode(), hashed, b"stamp", b"bench", body)
        return self._send(Kind.REQUEST, *parts, flags=Flag.NUMBERED if numbered else 0)

    def _send(self, kind: int, *parts: bytes, flags: int = 0) -> int:
        ref = next(self._refs)
        self._sock.sendall(pack_frame(kind, parts, flags=flags, ref=ref))
        return ref

    def _answers(self, count: int) -> dict[int, tuple[Frame, float]]:
        """So many, by what they answer, each with the time when it had come."""
        found: dict[int, tuple[Frame, float]] = {}
        while len(found) < count:
            data = self._sock.recv(RECEIVE_BYTES)
            if not data:
                raise Wrong("the worker hung up")
            now = time.perf_counter()
            self._reader.feed(data)
            for frame in self._reader:
                if frame.kind in _ANSWERS:
                    found[frame.ref] = frame, now
                elif frame.kind == Kind.CHUNK:
                    self.chunk_bytes += len(frame.parts[1])
        return found

    def _finish(self, frame: Frame) -> None:
        self._checked(frame, Kind.OUTCOME)
        error = json.loads(frame.parts[7])["error"]
        if error is not None:
            raise Wrong(f"the eval failed: {error['name']}: {error['message']}")
        seq = OUTCOME_HEAD.unpack(frame.parts[0])[0]
        self._send(Kind.CONFIRM, SEQ.pack(seq), frame.parts[1], b"")

    @staticmethod
    def _checked(frame: Frame, kind: int) -> None:
        if frame.kind != kind:
            raise Wrong(f"refused: {frame.parts[0][:300].decode('utf-8', 'replace')}")
