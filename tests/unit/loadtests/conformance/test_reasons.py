"""The reviewed table: what it matches, and that it stays short."""

import doctest

import pytest

from loadtests.conformance import reasons
from loadtests.conformance.reasons import Reason, Table

TEXT = """
[[left_out]]
modules = "turtle*"
why = "needs a display"

[[flags]]
module = "m"
flags = ["ELLIPSIS"]

[[reasons]]
name = "first"
why = "because"
examples = ["a.f#1", "b.*#2"]
"""

ENTRIES_MAX = 20
"""Whoever needs more has found a bug of ours instead of a reason."""


@pytest.fixture
def table(tmp_path) -> Table:
    """That of the text above."""
    file = tmp_path / "reasons.toml"
    file.write_text(TEXT)
    return reasons.load(file)


def test_a_table_is_read(table):
    """Every part of it."""
    assert table.flags == {"m": ("ELLIPSIS",)}
    assert table.reasons == (Reason("first", "because", ("a.f#1", "b.*#2")),)


def test_modules_are_left_out_by_pattern(table):
    """And others are not."""
    assert table.why_left_out("turtledemo.clock") == "needs a display"
    assert table.why_left_out("math") is None


@pytest.mark.parametrize(
    ("example", "found"), [("a.f#1", True), ("a.f#11", False), ("a.f#2", False), ("b.c.d#2", True), ("A.f#1", False)]
)
def test_examples_have_their_reason_by_pattern(table, example, found):
    """Exactly those that are named."""
    assert (table.reason_of(example) is not None) == found


def test_an_entry_that_nothing_needs_is_told(table):
    """If its doctest ran; one that did not run says nothing about it."""
    assert table.unneeded(["a.f#1"], ["a.f#0", "a.f#1"]) == []
    assert table.unneeded(["a.f#0"], ["a.f#0", "a.f#1"]) == ["a.f#1"]
    assert table.unneeded([], ["a.f#0", "b.c#0"]) == ["a.f#1", "b.*#2"]
    assert table.unneeded([], ["c#0"]) == []


def test_the_real_table_is_short_and_has_words():
    """Every flag is one of doctest's, every entry says why, and no pattern lets a whole package through."""
    table = reasons.load()
    reasons_ = table.for_fire().reasons
    patterns = [pattern for reason in reasons_ for pattern in reason.examples]
    assert len(patterns) + len(table.left_out) <= ENTRIES_MAX
    assert all(table.left_out.values()) and all(reason.why for reason in reasons_)
    assert {flag for flags in table.flags.values() for flag in flags} <= doctest.OPTIONFLAGS_BY_NAME.keys()
    assert all(pattern.count("#") == 1 and not pattern.startswith("*") for pattern in patterns)
    assert all(table.why_left_out(name) is None for name in ("test.test_generators", "difflib", "json", "asyncio"))
