"""What the in-memory store keeps of a lineage: its chunks, and how many states and pins refer to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NEVER = float("inf")


@dataclass(slots=True)
class Lineage:
    """What the sessions of a lineage share."""

    members: set[str] = field(default_factory=set)
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    counts: dict[bytes, int] = field(default_factory=dict)
    """Kept states and pins that refer to it."""
    uncounted: dict[bytes, float] = field(default_factory=dict)
    """When it was put last, for those that nothing refers to."""
    gone_at: float = NEVER
    """When chunks go that were put for a session which was never planted."""

    def put(self, chunks: Mapping[bytes, bytes], now: float) -> None:
        """Chunks ahead of what will refer to them, whatever becomes of it."""
        for item, data in chunks.items():
            self.chunks.setdefault(item, data)
            if item not in self.counts:
                self.uncounted[item] = now

    def missing(self, wanted: Sequence[bytes], carried: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
        """Those that are neither here nor come along."""
        return tuple(item for item in dict.fromkeys(wanted) if item not in carried and item not in self.chunks)

    def hold(self, references: Iterable[bytes], carried: Mapping[bytes, bytes] | None = None) -> None:
        """One more state or pin refers to these."""
        for item in set(references):
            if carried and item in carried:
                self.chunks.setdefault(item, carried[item])
            self.uncounted.pop(item, None)
            self.counts[item] = self.counts.get(item, 0) + 1

    def let_go(self, references: Iterable[bytes]) -> None:
        """A state or a pin is gone: what nothing else refers to goes with it."""
        for item in set(references):
            self.counts[item] -= 1
            if not self.counts[item]:
                del self.counts[item]
                self.chunks.pop(item, None)

    def condemn(self, due_before: float) -> int:
        """Delete what was put before that and nothing refers to; how many chunks it was."""
        due = [item for item, put_at in self.uncounted.items() if put_at <= due_before]
        for item in due:
            del self.uncounted[item]
            del self.chunks[item]
        return len(due)

    def add(self, session: str) -> None:
        """A session of the lineage: from now on it stays for as long as it has one."""
        self.members.add(session)
        self.gone_at = NEVER
