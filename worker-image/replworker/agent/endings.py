"""How the interpreter ended, and what is said of it."""

from __future__ import annotations

import fcntl
import struct
import time

from replwire.hints import Final

_PIDFD_GET_INFO: Final = 0xC040FF0B
"""`_IOWR(0xFF, 11, struct pidfd_info)`, of 64 bytes (linux/pidfd.h)."""

_INFO: Final = struct.Struct("=Q52xi")
"""Mask of what is asked and answered, what is not of interest, wait status."""

_EXIT: Final = 1 << 3
"""In the mask: the wait status, which is known once the process has been reaped."""

REAPED_WITHIN_S: Final = 0.02
"""By its parent, which is the first process of the sandbox."""

_PAUSE_S: Final = 0.0005


def how_it_ended(pidfd: int) -> int | None:
    """The status, as of wait(2), of a process that is no child of ours, by its handle. None where the kernel does not
    tell (it does since Linux 6.15), or not soon."""
    deadline = time.monotonic() + REAPED_WITHIN_S
    while time.monotonic() < deadline:
        asked = bytearray(_INFO.pack(_EXIT, 0))
        try:
            fcntl.ioctl(pidfd, _PIDFD_GET_INFO, asked)
        except ProcessLookupError:  # not reaped yet, or too long ago to know
            time.sleep(_PAUSE_S)
            continue
        except OSError:
            return None
        mask, status = _INFO.unpack(asked)
        if mask & _EXIT:
            return int(status)
        time.sleep(_PAUSE_S)
    return None


def told_of(signal: int | None, status: int | None) -> dict[str, object]:
    """What DIED says of an interpreter that was killed by a signal, or exited with a status."""
    if signal is not None:
        how = f"killed by signal {signal}"
    else:
        how = f"exited with status {status}" if status is not None else "ended, nobody knows how"
    return {"code": "worker_crashed", "message": how, "signal": signal, "exit": status}
