"""The last moment before a fork, when every other hook of it has run.

Hooks run in the reverse of the order in which they were entered, so this one has to be the first of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable


class ForkMoment:
    """Make it before any code of a tenant's runs; what is done then can come later."""

    __slots__ = ("action",)

    def __init__(self) -> None:
        self.action: Callable[[], None] | None = None
        os.register_at_fork(before=self._come)

    def _come(self) -> None:
        if self.action is not None:
            self.action()
