"""What becomes of memory that was freed: malloc gives it back to the system at once, and asks for it anew.

A large state passes through this process in pieces of 256 KiB. In memory fresh from the system each page costs a fault
(on a virtual machine 1 to 2 µs for 4 KiB), and of what a wake with 10 MB cost the server that was two fifths.
"""

from __future__ import annotations

import ctypes
from typing import Final

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Freed memory at the top of the heap that stays with this process."""

MAPPED_BYTES_MIN: Final = 1024 * 1024
"""Larger blocks are the system's own, mapped and unmapped one by one, and so never keep what lies below them."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Whether the C library can be told to (glibc); nothing happens where not."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX) and mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN))
