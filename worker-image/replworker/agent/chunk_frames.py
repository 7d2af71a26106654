"""Chunks of a checkpoint on their way through the agent."""

from __future__ import annotations

from replwire.frames import Frame, Kind, pack_frame
from replworker.agent.breach import InterpreterBreach


class ChunkFrames:
    """CHUNK frames of one channel that belong to the DONE or STATE which comes after them."""

    __slots__ = ("_bytes", "_frames")

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._bytes = 0

    def add(self, frame: Frame, bytes_max: int) -> None:
        """Raises `InterpreterBreach` beyond that."""
        id_, data = frame.parts
        self._bytes += len(data)
        if self._bytes > bytes_max:
            raise InterpreterBreach("a checkpoint is too large")
        self._frames.append(pack_frame(Kind.CHUNK, (id_, data)))

    def take(self) -> list[bytes]:
        """The packed frames; the next one starts afresh."""
        frames = self._frames
        if frames:
            self._frames, self._bytes = [], 0
            return frames
        return []
