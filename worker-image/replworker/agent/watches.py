"""Which descriptors the loop waits for, and who hears of each."""

from __future__ import annotations

import select
from collections.abc import Callable

from replwire.hints import Final

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT

Handler = Callable[[int], None]
"""Takes the mask of what the descriptor is ready for; an error or a hang-up comes as neither of the two above."""


class Watches:
    """An epoll object with a handler for each descriptor."""

    __slots__ = ("_epoll", "_handlers", "others_are_ready")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self.others_are_ready = True
        """Whether more than the descriptor that is handled now was ready when we looked."""

    def __contains__(self, fd: int) -> bool:
        return fd in self._handlers

    def watch(self, fd: int, handler: Handler) -> None:
        """Hear when it is readable."""
        self._handlers[fd] = handler
        self._epoll.register(fd, READABLE)

    def forget(self, fd: int) -> None:
        """Hear nothing more of it; before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def want_room(self, fd: int, wanted: bool) -> None:
        """Hear when it is writable too, or no more."""
        if fd in self._handlers:
            self._epoll.modify(fd, READABLE | WRITABLE if wanted else READABLE)

    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        """`(descriptor, mask)` of what is ready; negative: for ever."""
        events = self._epoll.poll(timeout_s)
        self.others_are_ready = len(events) > 1
        return events

    def handle(self, events: list[tuple[int, int]]) -> None:
        """Call the handlers, except those of what was forgotten meanwhile."""
        handlers = self._handlers
        for fd, mask in events:
            handler = handlers.get(fd)
            if handler is not None:
                handler(mask)
