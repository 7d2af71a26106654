"""What a commit must be before any store looks at it; a breach is a fault of ours, never of a tenant."""

from __future__ import annotations

from orchestrator.core.commits import Commit
from orchestrator.stores.keys import CONTENT_ID_BYTES


def check_commit(commit: Commit) -> None:
    """Raises `ValueError` when entries are not consecutive, an id is twice in it, or a content id has another size."""
    entries = commit.entries
    if not entries:
        raise ValueError("a commit has at least one entry")
    if len(entries) > 1:
        first = entries[0].seq
        if any(entry.seq != first + at for at, entry in enumerate(entries)):
            raise ValueError("the entries of a commit are consecutive")
        if len({entry.request_id for entry in entries}) != len(entries):
            raise ValueError("an id is in a commit once")
    check_content_ids(commit.references)
    check_content_ids([item for item, _ in commit.chunks])


def check_content_ids(references: tuple[bytes, ...] | list[bytes]) -> None:
    """Raises `ValueError` for a content id that is none."""
    for reference in references:
        if len(reference) != CONTENT_ID_BYTES:
            raise ValueError(f"a content id has {CONTENT_ID_BYTES} bytes")
