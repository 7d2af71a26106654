"""Server frames against a foreign implementation of RFC 6455."""

import pytest
from websockets.frames import Frame, Opcode

from orchestrator.transports.frames import PING, pong_frame, text_frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_text_frames_are_what_another_library_writes(length: int) -> None:
    """Each of the three forms of a length, at its edges."""
    message = b"x" * length
    assert text_frame(message) == Frame(Opcode.TEXT, message).serialize(mask=False)


def test_pings_and_pongs_are_what_another_library_writes() -> None:
    """Control frames, empty and full."""
    assert Frame(Opcode.PING, b"").serialize(mask=False) == PING
    assert pong_frame(b"y" * 125) == Frame(Opcode.PONG, b"y" * 125).serialize(mask=False)
