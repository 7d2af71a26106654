"""Percentiles, medians and spreads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.figures import Figure, percentile, ratio

SAMPLES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 10), (0.1, 10), (0.11, 20), (0.5, 50), (0.51, 60), (0.99, 100), (1, 100)]
)
def test_a_percentile_is_one_of_the_samples(share, expected):
    """The nearest one by rank, whatever the order; nothing is made up between two."""
    assert percentile([100, 30, 10, 20, 50, 40, 90, 60, 80, 70], share) == expected


@given(SAMPLES, st.floats(0, 1))
def test_a_percentile_leaves_its_share_below(samples, share):
    """At least that share is not above it, and it is the smallest sample of which that is true."""

    def covered(bound):
        return sum(sample <= bound for sample in samples) / len(samples)

    found = percentile(samples, share)
    assert covered(found) >= share
    assert all(covered(sample) < share or share == 0 for sample in samples if sample < found)


@pytest.mark.parametrize(("samples", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1), ([1.0], 50)])
def test_nonsense_is_refused(samples, share):
    """No samples, or a percentage instead of a share."""
    with pytest.raises(ValueError):
        percentile(samples, share)


def test_a_figure_has_its_rounds_median_and_spread():
    """One slow round moves the spread and not the median."""
    figure = Figure((3.0, 1.0, 50.0))
    assert (figure.median, figure.low, figure.high) == (3.0, 1.0, 50.0)
    with pytest.raises(ValueError):
        Figure(())


def test_a_ratio_is_taken_round_by_round():
    """The machine was three times slower in the second round: the ratio does not move."""
    assert ratio(Figure((2.0, 6.0, 2.0)), Figure((1.0, 3.0, 1.0))) == 2.0
    # Of the medians it would be 3.
    assert ratio(Figure((3.0, 3.0, 9.0)), Figure((1.0, 1.5, 9.0))) == 2.0


def test_a_ratio_is_of_the_rounds_that_both_have():
    """One of them failed later on; nothing is compared with zero."""
    assert ratio(Figure((2.0,)), Figure((1.0, 100.0))) == 2.0
    assert ratio(Figure((2.0,)), Figure((0.0,))) is None
