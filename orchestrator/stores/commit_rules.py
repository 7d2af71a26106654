"""What a caller's arguments must be before any store looks at them; a breach is a fault of ours, never of a tenant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.core.commits import Commit, Entry
from orchestrator.core.ids import is_session_id, lineage_of
from orchestrator.core.session import Seed
from orchestrator.ports import Raised
from orchestrator.stores.keys import CONTENT_ID_BYTES


def check_commit(commit: Commit) -> None:
    """Raises `ValueError` when entries are not consecutive, an id is twice in it, or a content id has another size."""
    entries = commit.entries
    if not entries:
        raise ValueError("a commit has at least one entry")
    if len(entries) > 1:
        _check_consecutive(entries)
        if len({entry.request_id for entry in entries}) != len(entries):
            raise ValueError("an id is in a commit once")
    check_content_ids(commit.references)
    check_chunks(commit.chunks)


def check_rewind(commit: Commit, raised: Raised) -> None:
    """Raises `ValueError` for what is no commit, has more than one entry, or chunks, or another next generation."""
    check_commit(commit)
    if len(commit.entries) != 1 or commit.chunks:
        raise ValueError("a rewind has one entry and no chunks")
    if raised.generation != commit.generation + 1:
        raise ValueError("a rewind raises the generation by one")


def check_fork(parent: str, session: str, seed: Seed) -> None:
    """Raises `ValueError` for a session that is no sibling of the parent, or a seed that is none."""
    if not is_session_id(parent) or not is_session_id(session):
        raise ValueError("not a session id")
    if lineage_of(parent) != lineage_of(session):
        raise ValueError("a fork is of its parent's lineage")
    check_seed(seed)


def check_seed(seed: Seed, entries: Sequence[Entry] = ()) -> None:
    """Raises `ValueError` for a state of no commit, or entries that are not consecutive up to its seq at most."""
    if seed.seq < 1:
        raise ValueError("a seed is the state of a commit")
    check_content_ids(seed.references)
    if entries:
        _check_consecutive(entries)
        if entries[0].seq < 1 or entries[-1].seq > seed.seq:
            raise ValueError("the entries of a seed end with its seq at the latest")


def check_chunks(chunks: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises `ValueError` for a content id that is none."""
    check_content_ids(item for item, _ in chunks)


def check_content_ids(references: Iterable[bytes]) -> None:
    """Likewise."""
    for reference in references:
        if len(reference) != CONTENT_ID_BYTES:
            raise ValueError(f"a content id has {CONTENT_ID_BYTES} bytes")


def _check_consecutive(entries: Sequence[Entry]) -> None:
    first = entries[0].seq
    if any(entry.seq != first + at for at, entry in enumerate(entries)):
        raise ValueError("the entries of a commit are consecutive")
