"""Which examples may differ after a worker was killed: those that reach what was told as `unsaved`, and no others."""

import pytest

from loadtests.conformance.losses import Losses, names_in


@pytest.fixture
def losses() -> Losses:
    """A doctest in which `g` is a generator of `seq`, `f` uses it, and its worker was killed."""
    found = Losses()
    for source in ("seq = []", "g = count(seq)", "def f(): return next(g)", "other = 1"):
        found.ran(source, equal=True)
    found.died(["g"])
    return found


@pytest.mark.parametrize(
    ("source", "mentioned", "bound"),
    [
        ("x = y + 1", {"x", "y"}, {"x"}),
        ("def f(a): return b", {"b"}, {"f"}),
        ("class C(B): z = w", {"B", "w", "z"}, {"C", "z"}),
        ("import os as system", set(), set()),
        ("del x", {"x"}, {"x"}),
        ("no python (", set(), set()),
    ],
)
def test_names_of_code(source, mentioned, bound):
    """Read, bound, and neither of what is imported."""
    found = names_in(source)
    assert (set(found.mentioned), set(found.bound)) == (mentioned, bound)


def test_what_mentions_a_lost_name_reaches_it(losses):
    """By itself, or through a function that does."""
    assert losses.reached("next(g)") == ["g"]
    assert losses.reached("f()") == ["g"]
    assert losses.reached("h = [f]") == ["g"]
    assert losses.reached("other, seq, print") == []


def test_what_failed_for_it_is_lost_with_what_it_should_have_changed(losses):
    """The names that it should have bound, and those that the lost name was made from."""
    losses.ran("got = next(g)", equal=False)
    assert losses.reached("got") == ["g", "got", "seq"]
    assert losses.reached("seq") == ["seq"]
    assert losses.reached("other") == []
    assert losses.reached("count") == []


def test_what_is_bound_anew_is_there_again(losses):
    """A user would make it again, too."""
    losses.ran("g = iter([])", equal=True)
    assert losses.reached("next(g)") == []


def test_an_example_that_fails_for_another_reason_excuses_nothing(losses):
    """Its names are no losses."""
    losses.ran("other = 2", equal=False)
    assert losses.reached("other") == []
