"""What a commit must be before a store looks at it."""

import dataclasses

import pytest

from orchestrator.stores.commit_rules import check_commit
from orchestrator.stores.memory import MemoryStore
from support.commits import Writer, chunk, entry, fresh_session


def test_a_proper_commit_passes():
    """One entry or several, with chunks or without."""
    writer = Writer(MemoryStore(), fresh_session(), 1, "nonce")
    check_commit(writer.next_commit())
    check_commit(writer.next_commit(entry(4), entry(5), chunks=[chunk(b"state")]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"entries": ()}, "at least one"),
        ({"entries": (entry(1), entry(3))}, "consecutive"),
        ({"entries": (entry(2), entry(1))}, "consecutive"),
        ({"entries": (entry(1, "a"), entry(2, "a"))}, "once"),
        ({"references": (b"x" * 31,)}, "content id"),
        ({"chunks": ((b"", b"data"),)}, "content id"),
    ],
)
def test_a_fault_of_ours_is_named(change, words):
    """It is a `ValueError`, so that it is never told as the store's."""
    writer = Writer(MemoryStore(), fresh_session(), 1, "nonce")
    with pytest.raises(ValueError, match=words):
        check_commit(dataclasses.replace(writer.next_commit(), **change))
