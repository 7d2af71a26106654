"""Frames: what goes in comes out, whole or in pieces, and nothing oversized is ever held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replwire.frames import FRAME_BYTES_MAX, PARTS_MAX, Frame, FrameError, FrameReader, Kind, pack_frame

PARTS = st.lists(st.binary(max_size=64), max_size=PARTS_MAX).map(tuple)


@given(
    st.lists(st.tuples(st.integers(0, 255), PARTS, st.integers(0, 255), st.integers(0, 2**32 - 1)), max_size=5),
    st.data(),
)
def test_frames_survive_any_cut_of_the_bytes(frames, data):
    """The same frames come out however the bytes are cut on their way."""
    sent = b"".join(pack_frame(kind, parts, flags=flags, ref=ref) for kind, parts, flags, ref in frames)
    reader, found, position = FrameReader(), [], 0
    while position < len(sent):
        step = data.draw(st.integers(1, len(sent) - position))
        reader.feed(sent[position : position + step])
        position += step
        found += list(reader)

    assert found == [Frame(kind, flags, ref, parts) for kind, parts, flags, ref in frames]


@given(st.binary(min_size=12, max_size=200))
def test_garbage_is_refused_or_waited_for_and_nothing_else(garbage):
    """Arbitrary bytes give frames, silence or FrameError, never another exception."""
    reader = FrameReader()
    reader.feed(garbage)
    try:
        frames = list(reader)
    except FrameError:
        return

    assert all(isinstance(frame, Frame) for frame in frames)


def test_an_announced_giant_is_refused_before_it_comes():
    """A length over the limit is an error at once, not a buffer that grows."""
    reader = FrameReader()
    reader.feed((0xFFFF_FFFF).to_bytes(4, "big") + bytes(8))

    with pytest.raises(FrameError, match="announces"):
        next(reader)


def test_parts_that_do_not_add_up_are_refused():
    """Part lengths are checked against the frame's own."""
    frame = bytearray(pack_frame(Kind.PING, (b"abc",)))
    frame[15] = 200
    reader = FrameReader()
    reader.feed(frame)

    with pytest.raises(FrameError, match="add up"):
        next(reader)


@pytest.mark.parametrize("parts", [(bytes(FRAME_BYTES_MAX),), tuple(b"" for _ in range(PARTS_MAX + 1))])
def test_a_frame_over_the_limit_is_not_packed(parts):
    """The sender hears of it, not the receiver."""
    with pytest.raises(FrameError, match="over the limit"):
        pack_frame(Kind.CHUNK, parts)
