"""A worker that has to die with its server runs only when the server knows of it.

The kernel ends it with its parent from the moment on that it asked for that. A parent that died before was missed, and
so the worker says a word when it has asked, and waits for the answer that only a living server gives.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

WORD: Final = b"."


async def greet(ours: socket.socket, *, within_s: float) -> bool:
    """Answer the worker at the other end; False when it says nothing in time, or is dead."""
    ours.setblocking(False)
    try:
        async with asyncio.timeout(within_s):
            said = await asyncio.get_running_loop().sock_recv(ours, len(WORD))
        return bool(said) and ours.send(WORD) == len(WORD)
    except (OSError, TimeoutError):
        return False


def greeting_code(handle: int) -> str:
    """The worker's part: Python lines that end the process if nobody answers at this descriptor."""
    return (
        f"import os\nos.write({handle}, {WORD!r})\nos.read({handle}, {len(WORD)}) or os._exit(1)\nos.close({handle})\n"
    )
