"""What a store keeps, how long and how much of it; the same for every adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from replwire.limits import LIMITS

INLINE_BYTES_MAX: Final = 512 * 1024
"""Chunks of one commit that travel with it; more go ahead of it, so that other sessions' commits do not wait."""


OBJECT_BYTES_MIN: Final = 64 * 1024
"""Sealed chunks of that size and more go to the blob store, where there is one. A checkpoint keeps buffers of that
size apart, so these are what large state is made of; for what is smaller, an object costs more than it spares."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Counts and seconds by the store's clock."""

    ids_kept: int = LIMITS["ids_kept_max"].default
    """Request ids that a session remembers at least."""
    ids_kept_s: float = 24 * 3600.0
    """How long an id is remembered at least, as long as it is among the last `journal_kept`."""
    intents_kept: int = 1000
    """Requests that were sent to workers which died, and have no outcome: so many of a session at most."""
    journal_kept: int = 100_000
    """Journal entries (and so ids) that a session keeps at most."""
    generations_kept: int = 256
    """Generations of which the last seq and event are remembered; an older cursor counts as rolled back."""
    states_kept: int = 20
    """Last states of a session that `rewind` and `fork` may go to; the last one is always kept."""
    pins_max: int = 100
    """States of a session that are kept under a name."""
    lineage_max: int = 1000
    """Sessions that share chunks: a session, its forks, and those opened from its pins."""
    chunk_grace_s: float = 600.0
    """How long a chunk that no state refers to is kept."""
    object_grace_s: float = 600.0
    """How old an object without a name is before it is taken for one that a crash has left; a name comes within half
    of it, or is refused."""
    tombstone_s: float = 24 * 3600.0
    """How long the record of a closed session says so."""
    opened_kept_s: float = 24 * 3600.0
    """How long the id of an `open` is remembered, as long as it is among the principal's last `opened_kept`. Not longer
    than `tombstone_s`: an id must not outlive the record of the session that it opened."""
    opened_kept: int = 100_000
    """Ids of `open` that are remembered of one principal at most."""
    opening_s: float = 5.0
    """How long whoever came first with the id of an `open` may take to make a session that begins with a state; after
    it, the next one to come makes its own."""
    place_grace_s: float = 60.0
    """How long a place among the tenant's open sessions may be without a record (a session that is being created)
    before it is free for another one, if there is none left."""
    index_grace_s: float = 3600.0
    """How long an entry of the index may be without a record (a session that is being created)."""
