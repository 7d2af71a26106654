"""A token bucket for each principal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.rates import Rate, RateLimiter


def test_a_burst_is_allowed_and_then_the_rate():
    """What is refused costs nothing, and the wait that is told is exactly enough."""
    limiter = RateLimiter(Rate(per_s=2, burst=3))

    assert [limiter.take("ann", 10.0).left for _ in range(3)] == [2, 1, 0]
    refused = limiter.take("ann", 10.0)
    assert refused.wait_s == pytest.approx(0.5)
    assert refused.full_in_s == pytest.approx(1.5)
    assert limiter.take("ann", 10.49).wait_s > 0
    assert limiter.take("ann", 10.5).wait_s == 0


def test_one_principal_does_not_pay_for_another():
    """Each has a bucket of its own."""
    limiter = RateLimiter(Rate(per_s=1, burst=1))
    limiter.take("ann", 0.0)

    assert limiter.take("ann", 0.0).wait_s > 0
    assert limiter.take("bob", 0.0).wait_s == 0


def test_the_table_is_bounded():
    """Who asked longest ago is forgotten."""
    limiter = RateLimiter(Rate(per_s=1, burst=1), buckets_max=2)
    for name in ("ann", "bob", "ann", "eve"):
        limiter.take(name, 0.0)

    assert len(limiter) == 2
    assert limiter.take("ann", 0.0).wait_s > 0
    assert limiter.take("bob", 0.0).wait_s == 0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.floats(0.1, 50), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate(pauses, per_s, burst):
    """Over any time, whatever the pauses."""
    limiter, now, allowed = RateLimiter(Rate(per_s, burst)), 0.0, 0
    for pause in pauses:
        now += pause
        allowed += limiter.take("ann", now).wait_s == 0

    assert allowed <= burst + (now - pauses[0]) * per_s + 1e-6
