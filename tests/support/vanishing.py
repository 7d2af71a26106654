"""A client's machine that is gone from one moment to the next: no goodbye, and nothing that is sent to it arrives."""

from __future__ import annotations

import ctypes
import socket
import struct

_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER (socket(7))."""
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""One instruction of a socket filter, `ret 0`: keep nothing of any packet. TCP drops it before it acknowledges it."""


def vanish(client: socket.socket) -> None:
    """From now on this end hears nothing, so its kernel answers nothing either."""
    program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
    client.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
