"""Which blocks of large arrays are what they were at the last checkpoint: those need no hashing and no sending.

A copy of the process as it was then is kept asleep, the shadow. A page that this process shares with somebody, and
the shadow too, when there is nobody else, has not been written to since (see `pages`). Neither question alone is
enough: this process shares the page of zeros that it sees in the place of memory that was given back, and the shadow
shares what both have from the agent. It has to be the same array in the same place, because memory can be moved
(mremap(2)).

The kernel has to be asked in the moment of the next fork, after which everything is shared again: in a hook of that
fork, when nothing of the tenant's can run any more. Every doubt (a process or a thread of the tenant's, a tracer) means
that all blocks are hashed, as without a shadow. No array is held, not even weakly: numpy would refuse to resize it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import sys
from collections.abc import Iterable

from replwire.hints import Final, NamedTuple
from replworker.snapshot import pages
from replworker.snapshot.buffers import Placed
from replworker.snapshot.moment import ForkMoment
from replworker.snapshot.places import Key, Region

SHADOW_BYTES_MIN: Final = 4 * 1024 * 1024
"""Of large arrays that one checkpoint keeps; for less, hashing costs less than a further process."""


class _Asked(NamedTuple):
    """What the kernel said in the moment of a fork."""

    keys: list[Key]
    own: list[bytes]
    shadows: list[bytes]
    """Entries of their pages, here and there."""
    threads: list[tuple[str, ...]]
    parent: int


class Tracker:
    """Of one namespace, in blocks of that size; asks in that moment."""

    def __init__(self, moment: ForkMoment, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._hashed: dict[Key, tuple[tuple[bytes, ...], bytes]] = {}
        """Arrays, their content ids and edges at the fork of the shadow."""
        self._known = pages.ancestors()
        self._shadow = 0
        self._was_waste = False
        self._is_armed = False
        self._asked: _Asked | None = None
        self._undo: tuple[set[int], bool] | None = None
        moment.action = self._before_fork if pages.is_supported() else None

    # --- in the parent ------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """A fork for a checkpoint comes next; `settle` after it, in both processes."""
        self._asked = None
        self._is_armed = bool(self._hashed)

    def settle(self) -> None:
        """The fork is done, or failed."""
        self._is_armed = False
        if self._undo is not None:
            (mask, collects), self._undo = self._undo, None
            if collects:
                gc.enable()
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def _before_fork(self) -> None:
        """Nothing of the tenant's runs from here to the fork: no handler, no finalizer, no other hook."""
        self._asked = None
        if not self._is_armed:
            return
        self._is_armed = False
        self._undo = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals()), gc.isenabled()
        gc.disable()
        try:
            self._asked = self._ask()
        except OSError:
            return

    def _ask(self) -> _Asked | None:
        if _is_watched() or not pages.is_first_thread() or not pages.is_alone(self._known | {self._shadow}):
            return None
        threads = pages.other_threads(os.getpid())
        if threads is None or pages.has_merged_pages():
            return None
        ranges, pid = [key[:2] for key in self._hashed], os.getpid()
        return _Asked(
            list(self._hashed), pages.page_states(pid, ranges), pages.page_states(self._shadow, ranges), threads, pid
        )

    def learn(self, shadow: int, placed: Iterable[Placed]) -> None:
        """A child has hashed these buffers, and this process, forked from it, keeps what it saw."""
        self._shadow = shadow
        self._hashed = {key: (blocks, edges) for key, blocks, edges in placed}

    def forget(self) -> None:
        """There is no shadow any more."""
        self._shadow, self._hashed = 0, {}

    # --- in the shadow ------------------------------------------------------------------------------------------

    def take_over(self, dead: int) -> None:
        """This process takes the place of the one that is dead; nothing is known of any page."""
        self._known = self._known - {dead} | {os.getpid()}
        self._asked = None
        self.forget()

    def is_alone(self) -> bool:
        """Whether nobody is there but this process and those that it comes from."""
        return pages.is_alone(self._known)

    def shared_memory(self) -> str:
        """See `pages`."""
        return pages.shared_memory()

    # --- in the child -------------------------------------------------------------------------------------------

    def regions(self) -> dict[Key, Region]:
        """What is known of the buffers of this checkpoint, by address and size."""
        asked = self._asked
        try:
            if asked is None or asked.parent != os.getppid() or pages.other_threads(asked.parent) != asked.threads:
                return {}
        except OSError:
            return {}
        found = {key: self._region(key, *maps) for key, *maps in zip(asked.keys, asked.own, asked.shadows, strict=True)}
        blocks = [is_same for region in found.values() for is_same in region.is_same]
        self._was_waste = 2 * sum(blocks) < len(blocks)
        return found

    def _region(self, key: Key, *maps: bytes) -> Region:
        address, size, _ = key
        own, shadows = (pages.shared_blocks(address, size, entries, self._block_bytes) for entries in maps)
        is_inside_same = all(pages.is_inside_shared(address, size, entries) for entries in maps)
        blocks, edges = self._hashed[key]
        return Region(blocks, tuple(map(min, own, shadows)), is_inside_same, edges)

    def worth_keeping(self, placed: Iterable[Placed]) -> list[Placed]:
        """Those buffers that the parent can ask about next time; none when a shadow would not pay.

        Who writes most of his arrays anew has them twice with a shadow: after one that saved less than half comes none.
        """
        kept = list(placed)
        is_much = sum(item[0][1] for item in kept) >= SHADOW_BYTES_MIN
        return kept if is_much and not self._was_waste and self._can_be_asked() else []

    def _can_be_asked(self) -> bool:
        """Whether the kernel would tell, and whether the answer may mean anything: what the next eval has started
        meanwhile may be gone when we ask, or when the shadow is wanted."""
        return pages.is_supported() and pages.was_alone(self._known | {self._shadow, os.getpid()})


def _is_watched() -> bool:
    """Whether a tracer of the tenant's would run at each step of ours."""
    monitoring = getattr(sys, "monitoring", None)
    tools = [monitoring.get_tool(number) for number in range(6)] if monitoring is not None else ()
    return sys.gettrace() is not None or sys.getprofile() is not None or any(tools)
