"""What an object's name may be, the same for every blob store: parts of plain characters, with `/` between them."""

from __future__ import annotations

import re
from typing import Final

NAME_CHARS_MAX: Final = 200
"""Of each part; less than a file's name may have anywhere, with room for what an adapter puts around it."""

_PART: Final = rf"[a-z0-9][a-z0-9_.-]{{0,{NAME_CHARS_MAX - 1}}}"
_NAME: Final = re.compile(f"{_PART}(/{_PART})*")


def check_name(name: str) -> None:
    """Raises `ValueError` for a name that is none: nothing of it is ever a way out of the folder."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("not the name of an object")
