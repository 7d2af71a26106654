"""Frames of the internal socket: bytes with a length in front and a fixed header, so that nobody parses JSON to route.

Layout, big-endian::

    length  u32   of all that follows
    kind    u8    see `Kind`
    flags   u8    see `Flag`
    count   u16   number of parts
    ref     u32   the request on this link that the frame belongs to; 0: none
    lengths u32 × count, then the parts

The same frames run between front door and agent and between agent and interpreter. Every size is checked before
anything is parsed: the other side may be hostile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from replwire.hints import Final, NamedTuple

FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one frame, header included. Larger things (checkpoints) travel as `CHUNK` frames."""

PARTS_MAX: Final = 16
"""Of one frame."""

CHUNK_BYTES_MAX: Final = 256 * 1024
"""Of one chunk of a checkpoint."""

EVENT_OVERHEAD_BYTES: Final = 256
"""What an event costs beyond its body, on both sides' account of credit: its envelope, and the objects that hold it. A
client that does not read would otherwise cost a hundred times its window in events of one byte."""

NONE: Final = -1
"""In a field that holds a seq: there is none."""


class Kind:
    """What a frame says. The comment names its parts; `json` is an object in UTF-8, `seq` an i64.

    Plain numbers: enumerations cost memory in each session and time in each eval.
    """

    # front door → agent
    CLAIM: Final = 1  # json, manifest; then CHUNK × json["chunks"]. Once in a worker's life. Answer: WELCOME or REFUSED
    ATTACH: Final = 2  # json. A further link to a claimed worker. Answer: WELCOME or REFUSED
    REQUEST: Final = 3  # if_seq, id, type, body hash, stamp, principal, body
    CONFIRM: Final = 4  # seq, id, receipt: this numbered request is committed; the receipt proves it to others
    INTERRUPT: Final = 5  # target id or empty, reason (`interrupt`, `timeout`, `disconnect`). Answer: REPLY
    CANCEL: Final = 6  # target id. Answer: REPLY
    INPUT: Final = 7  # target id, text. Answer: REPLY
    REPLAY: Final = 8  # u64 event number. Answer: the kept events after it on this link, then REPLY
    CREDIT: Final = 9  # u64: so many more bytes of output may be on their way to this link
    CHUNK: Final = 10  # content id, bytes (in both directions)
    PING: Final = 11  # Answer: REPLY json, at once, whatever runs: `running` (id or null), last `receipt` (hex)
    IDS: Final = 12  # json: rows of the id table, as in CLAIM, which follows: it may be larger than a frame
    PARK: Final = 13  # u64 ms idle, u64 ms: agree to end, begin nothing for so long. Answer: REPLY json (status, seq)
    END: Final = 14  # nothing: its generation is over, whoever started it; it ends at once
    # agent → front door
    HELLO: Final = 16  # json: first frame on each link
    WELCOME: Final = 17  # json: claimed or attached; what the agent has
    STARTED: Final = 18  # seq or NONE: the request had to wait and starts now
    EVENT: Final = 19  # number u64, seq, event u8 (`EventKind`); id; body
    OUTCOME: Final = (
        20  # OUTCOME_HEAD; id; type; hash; stamp; principal; body; outcome json; stdout; stderr; manifest; references
    )
    REPLY: Final = 21  # json
    REFUSED: Final = 22  # json: code, message, …
    KNOWN: Final = 23  # seq: the id was committed with this body; the store has the outcome
    COMMITTED: Final = 24  # seq, id: a hint that another link has confirmed it
    ORPHANED: Final = 26  # seq, id: it runs, and the link that asked for it has gone
    DIED: Final = 25  # json: code, message, signal, exit: the interpreter is gone, the agent ends
    TAKEN_OVER: Final = 27  # json as of DIED, with seq, unsaved: the interpreter died, its shadow of seq took over
    # agent → interpreter
    RUN: Final = 32  # seq or NONE, type, id, body; flags SNAPSHOT, STDIN
    RESTORE: Final = 33  # json, manifest; then CHUNK × json["chunks"]. Answer: RESTORED
    # interpreter → agent
    READY: Final = 40  # json: when it can run; of a shadow: `unsaved`, or `refused`
    RESTORED: Final = 41  # json: `unsaved`, or `error`
    DONE: Final = 42  # outcome json, manifest, references; CHUNK frames come before; flag STATE_FOLLOWS: see STATE
    STATE: Final = 43  # seq, manifest, references, unsaved json: the checkpoint that a forked child made
    EMIT: Final = 44  # event u8, body
    ASK: Final = 45  # json: prompt, password; the answer is an INPUT frame


class Flag:
    """Bits of a frame's `flags`."""

    STREAM: Final = 1  # REQUEST: output goes out as events while it runs
    NUMBERED: Final = 2  # REQUEST: gets a seq and is committed
    STDIN: Final = 4  # REQUEST, RUN: input() may ask
    SNAPSHOT: Final = 8  # RUN: a checkpoint is wanted with the outcome
    STATE_FOLLOWS: Final = 16  # DONE: the checkpoint comes later, in a STATE frame
    NEW_PIPES: Final = 32  # DONE: what is written from now on comes from the pipes that were sent ahead of it


class EventKind:
    """What an EVENT frame carries; text for the streams, a JSON payload for the others."""

    STDOUT: Final = 1
    STDERR: Final = 2
    DISPLAY: Final = 3
    CLEAR_OUTPUT: Final = 4
    INPUT_REQUEST: Final = 5
    ROLLED_BACK: Final = 6


END_OF_INPUT: Final = "\x04"
"""An answer to `input()` that is no line but the end of the input, as Ctrl-D says it to a terminal."""

SEQ: Final = struct.Struct(">q")
COUNT: Final = struct.Struct(">Q")
EVENT_HEAD: Final = struct.Struct(">QqB")
"""Of EVENT: number, seq of the running eval or NONE, `EventKind`."""
OUTCOME_HEAD: Final = struct.Struct(">qQQQQ")
"""Of OUTCOME: seq, number of the last event before it started, number of its last event, bytes of output (stdout,
stderr, displays), bytes of these that were cut."""

_HEAD: Final = struct.Struct(">IBBHI")
_LENGTHS: Final = tuple(struct.Struct(f">{count}I") for count in range(PARTS_MAX + 1))
_AFTER_LENGTH: Final = _HEAD.size - 4
_SMALL_BYTES: Final = 16 * 1024


class FrameError(Exception):
    """The other side broke the framing; the connection cannot go on."""


class Frame(NamedTuple):
    """One frame; `parts` are bytes of their own."""

    kind: int
    flags: int
    ref: int
    parts: tuple[bytes, ...]


def pack_frame(kind: int, parts: tuple[bytes, ...] = (), *, flags: int = 0, ref: int = 0) -> bytes:
    """The bytes of one frame; raises `FrameError` when it would be over `FRAME_BYTES_MAX`."""
    return b"".join((frame_head(kind, parts, flags=flags, ref=ref), *parts))


def frame_head(kind: int, parts: tuple[bytes, ...], *, flags: int = 0, ref: int = 0) -> bytes:
    """What comes before the parts: for large ones, which need not be copied to be sent behind it. As `pack_frame`."""
    lengths = tuple(map(len, parts))
    count = len(parts)
    size = _AFTER_LENGTH + 4 * count + sum(lengths)
    if size + 4 > FRAME_BYTES_MAX or count > PARTS_MAX:
        raise FrameError(f"a frame of {size + 4} bytes in {count} parts is over the limit")
    return _HEAD.pack(size, kind, flags, count, ref) + _LENGTHS[count].pack(*lengths)


class FrameReader:
    """Turns received bytes into frames; knows no socket.

    `feed()` what came, then iterate: whole frames come out, the rest stays. At most one frame is held beyond what
    was fed last.
    """

    __slots__ = ("_buffer", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what was received."""
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        buffer, start = self._buffer, self._start
        if len(buffer) - start < _HEAD.size:
            raise StopIteration
        size, kind, flags, count, ref = _HEAD.unpack_from(buffer, start)
        _check_sizes(size, count)
        if len(buffer) - start < size + 4:
            raise StopIteration
        self._start = start + size + 4
        return Frame(kind, flags, ref, _cut(buffer, start + _HEAD.size, count, self._start))


def _check_sizes(size: int, count: int) -> None:
    if size + 4 > FRAME_BYTES_MAX or size < _AFTER_LENGTH or count > PARTS_MAX:
        raise FrameError(f"a frame announces {size} bytes in {count} parts")


def _cut(buffer: bytearray, start: int, count: int, end: int) -> tuple[bytes, ...]:
    lengths = _LENGTHS[count].unpack_from(buffer, start) if start + 4 * count <= end else ()
    position = start + 4 * count
    if position + sum(lengths) != end:
        raise FrameError("the parts of a frame do not add up to its length")
    if end - position > _SMALL_BYTES:
        # A slice of the buffer is a copy, and the part is one more: of a chunk that costs twenty times the chunk.
        with memoryview(buffer) as view:
            return _parts(view, position, lengths)
    return _parts(buffer, position, lengths)


def _parts(source: bytearray | memoryview, position: int, lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    parts = []
    for length in lengths:
        parts.append(bytes(source[position : position + length]))
        position += length
    return tuple(parts)
