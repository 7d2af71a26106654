"""Steps between numbered states, and which states cannot reach a good one."""

from __future__ import annotations

from array import array
from itertools import accumulate


class Edges:
    """Pairs of state numbers, in eight bytes each."""

    def __init__(self) -> None:
        self._from, self._to = array("I"), array("I")

    def add(self, source: int, target: int) -> None:
        """A step leads from one to the other."""
        self._from.append(source)
        self._to.append(target)

    def cannot_reach(self, good: bytearray) -> int | None:
        """The lowest number from which no way leads to a good state; None when there is none."""
        reached = bytearray(good)
        starts, sources = self._by_target(len(good))
        work = [number for number, is_good in enumerate(reached) if is_good]
        while work:
            number = work.pop()
            for source in sources[starts[number] : starts[number + 1]]:
                if not reached[source]:
                    reached[source] = True
                    work.append(source)
        lowest = reached.find(0)
        return lowest if lowest >= 0 else None

    def _by_target(self, states: int) -> tuple[array[int], array[int]]:
        """The sources of each target in a row, and where each row starts."""
        counts = array("I", bytes(4 * (states + 1)))
        for target in self._to:
            counts[target + 1] += 1
        starts = array("I", accumulate(counts))
        free, sources = array("I", starts), array("I", bytes(4 * len(self._to)))
        for source, target in zip(self._from, self._to, strict=True):
            sources[free[target]] = source
            free[target] += 1
        return starts, sources
