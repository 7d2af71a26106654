"""What a tenant wrote to stdout and stderr: cut at UTF-8 boundaries, limited, marked where something is missing.

Pure: bytes in; events out through `publish`, or text that is collected for the outcome.
"""

from __future__ import annotations

from collections.abc import Callable

from replwire.frames import EventKind
from replwire.hints import Final
from replworker.agent.limits import EVENT_BYTES_MAX, TEXT_BYTES_MAX
from replworker.json_size import fitting, json_bytes

STDOUT: Final = 0
STDERR: Final = 1

STDERR_SHARE: Final = 8
"""One part in so many of `text_bytes_max` is stderr's alone: a traceback must not be lost behind a flood on stdout."""

LATE_SHARE: Final = 4
"""One part in so many of `text_bytes_max` is what processes of earlier evals may fill."""

LATE_HEAD: Final = b"[\xe2\x80\xa6 from processes that earlier evals left running:]\n"
LATE_END: Final = b"[\xe2\x80\xa6 end of that]\n"

SILENT: Final = (b"", b"", 0, 0)

Publish = Callable[[int, bytes], None]
"""Takes `EventKind` and text."""


def incomplete_tail(data: bytes, end: int) -> int:
    """How many of the bytes before `end` begin a UTF-8 sequence that is not complete there: 0 to 3."""
    for back in range(1, min(3, end) + 1):
        byte = data[end - back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4 if byte < 0xF8 else 1
            return back if wanted > back else 0
    return 0


def _mark(cut_bytes: int) -> bytes:
    return f"\n[… {cut_bytes} bytes cut]".encode()


def _behind(late: bytes, text: bytes) -> bytes:
    if not late:
        return text
    return b"".join((LATE_HEAD, late, b"" if late.endswith(b"\n") else b"\n", LATE_END, text))


class _Stream:
    """One of the two."""

    __slots__ = ("cut_bytes", "kind", "pieces", "tail", "text_bytes")

    def __init__(self, kind: int) -> None:
        self.kind = int(kind)
        self.tail = b""
        self.pieces: list[bytes] = []
        self.cut_bytes = 0
        self.text_bytes = 0
        """Of what was collected, as JSON."""

    def take_text(self) -> tuple[bytes, int]:
        """What was collected, with a mark if something is missing, and how much is; nothing is left afterwards."""
        text, cut_bytes = b"".join(self.pieces), self.cut_bytes
        self.pieces.clear()
        self.cut_bytes = self.text_bytes = 0
        if not cut_bytes:
            return text, 0
        tail = incomplete_tail(text, len(text))
        cut_bytes += tail
        return text[: len(text) - tail] + _mark(cut_bytes), cut_bytes


class Output:
    """Both streams. What comes between two evals is treated as the eval before them wished it.

    A session that streams gets it as events that belong to no request; one that does not finds it in front of the
    next eval's text: it asked for no events, and nothing is dropped in silence.

    `late` is another such object, for what processes of earlier evals write: it goes the same ways, never as the text
    of the eval that runs when it comes. Without events it stands in front of that text, between two marks.
    """

    def __init__(self, publish: Publish, late: Output | None = None) -> None:
        self._publish_event = publish
        self._late = self._beside = late
        if late is not None:
            late._beside = self
        self._streams = (_Stream(EventKind.STDOUT), _Stream(EventKind.STDERR))
        self._is_streaming = False
        self._is_marked = False
        self._output_bytes_max = self._text_bytes_max = self._stderr_bytes_min = 0
        self.is_wanted = False
        """Nothing is kept before a session has claimed the worker."""
        self.written_bytes = 0
        """Since the last `finish()`."""
        self._dropped_bytes = 0
        self._displayed_bytes = self._undisplayed_bytes = 0

    def limit(self, output_bytes_max: int, text_bytes_max: int) -> None:
        """See `replwire.limits`."""
        self._output_bytes_max = output_bytes_max
        self._text_bytes_max = min(text_bytes_max, output_bytes_max, TEXT_BYTES_MAX)
        self._stderr_bytes_min = self._text_bytes_max // STDERR_SHARE
        if self._late is not None:
            self._late.limit(output_bytes_max, self._text_bytes_max // LATE_SHARE)

    def begin(self, *, streaming: bool) -> None:
        """A numbered request starts; what was left over goes out, or in front of its text."""
        if streaming:
            for stream in self._streams:
                if stream.text_bytes or stream.cut_bytes:
                    self._publish(stream, stream.take_text()[0])
        if streaming or self._is_streaming:
            self._flush_tails()
            self.written_bytes = self._dropped_bytes = 0
        self._is_streaming, self._is_marked = streaming, False
        late = self._late
        if late is not None and (streaming or late._is_streaming):
            late.begin(streaming=streaming)

    def take(self, which: int, data: bytes) -> None:
        """Bytes that were written to `STDOUT` or `STDERR`."""
        if not self.is_wanted:
            return
        before = self.written_bytes
        self.written_bytes = before + len(data)
        if not self._is_streaming:
            self._collect(self._streams[which], data)
        elif self.written_bytes <= self._output_bytes_max:
            self._publish(self._streams[which], data)
        else:
            self._overflow(self._streams[which], data, max(0, self._output_bytes_max - before))

    def displayed(self, size_bytes: int) -> bool:
        """A display event: whether it may go out. Beyond `output_bytes_max` it is counted, and a mark is left."""
        self._displayed_bytes += size_bytes
        if self._displayed_bytes <= self._output_bytes_max:
            return True
        if self._is_streaming and not self._undisplayed_bytes:
            said = f"\n[… displays of more than {self._output_bytes_max} bytes: the rest is cut]\n"
            self._publish_event(EventKind.STDERR, said.encode())
        self._undisplayed_bytes += size_bytes
        return False

    def drop(self) -> None:
        """What ran did not happen: its text is nobody's."""
        for stream in self._streams:
            stream.tail = b""
            stream.take_text()
        self.written_bytes = self._dropped_bytes = self._displayed_bytes = self._undisplayed_bytes = 0
        self._is_marked = False

    def finish(self) -> tuple[bytes, bytes, int, int]:
        """The numbered request has ended: texts of stdout and stderr, bytes of output, bytes of these that were cut."""
        late = self._late
        if late is None or not late.written_bytes:
            return self._finish()
        late_stdout, late_stderr, _, late_cut = late._finish()
        stdout, stderr, written_bytes, cut_bytes = self._finish()
        return _behind(late_stdout, stdout), _behind(late_stderr, stderr), written_bytes, cut_bytes + late_cut

    def _finish(self) -> tuple[bytes, bytes, int, int]:
        if not self.written_bytes and not self._displayed_bytes:
            return SILENT
        if self._is_streaming:
            self._flush_tails()
        stdout, stdout_cut = self._streams[STDOUT].take_text()
        stderr, stderr_cut = self._streams[STDERR].take_text()
        if self._undisplayed_bytes and not self._is_streaming:
            stderr += f"\n[… {self._undisplayed_bytes} bytes of displays cut]".encode()
        written_bytes = self.written_bytes + self._displayed_bytes
        cut_bytes = self._dropped_bytes + stdout_cut + stderr_cut + self._undisplayed_bytes
        self.written_bytes = self._dropped_bytes = self._displayed_bytes = self._undisplayed_bytes = 0
        self._is_marked = False
        return stdout, stderr, written_bytes, cut_bytes

    def _collect(self, stream: _Stream, data: bytes) -> None:
        # The head is kept: nothing may follow what was cut.
        room = 0 if stream.cut_bytes else max(0, self._room(stream))
        size_bytes, kept = json_bytes(data) if room else 0, data
        if not room or size_bytes > room:
            kept = data[: fitting(data, room)]
            size_bytes = json_bytes(kept)
        if kept:
            stream.pieces.append(kept)
            stream.text_bytes += size_bytes
        stream.cut_bytes += len(data) - len(kept)

    def _room(self, stream: _Stream) -> int:
        stdout, stderr = self._streams
        room = self._text_bytes_max - stdout.text_bytes - stderr.text_bytes
        if self._beside is not None:
            room -= sum(other.text_bytes for other in self._beside._streams)
        return room if stream is stderr else room - max(0, self._stderr_bytes_min - stderr.text_bytes)

    def _overflow(self, stream: _Stream, data: bytes, room: int) -> None:
        self._dropped_bytes += len(data) - room
        if self._is_marked:
            return
        self._is_marked = True
        self._publish(stream, data[:room])
        for item in self._streams:
            self._dropped_bytes += len(item.tail)
            item.tail = b""
        said = f"\n[… more than {self._output_bytes_max} bytes: the rest is cut]\n"
        self._publish_event(stream.kind, said.encode())

    def _publish(self, stream: _Stream, data: bytes) -> None:
        if stream.tail:
            data = stream.tail + data
        start, whole = 0, len(data) - incomplete_tail(data, len(data))
        stream.tail = data[whole:]
        while start < whole:
            end = min(whole, start + EVENT_BYTES_MAX)
            end -= incomplete_tail(data, end) if end < whole else 0
            self._publish_event(stream.kind, data[start:end])
            start = end

    def _flush_tails(self) -> None:
        for stream in self._streams:
            if stream.tail:
                self._publish_event(stream.kind, stream.tail)
                stream.tail = b""
