"""Waits grow, are jittered in full, and come to an end."""

from __future__ import annotations

from bascule.backoff import Outage
from bascule.settings import Settings

SETTINGS = Settings("k", reconnect_first_s=1, reconnect_delay_max_s=4, reconnect_timeout_s=20)


def upper(low: float, high: float) -> float:
    """The longest wait that may be drawn."""
    return high


def lower(low: float, high: float) -> float:
    """The shortest."""
    return low


def test_the_bound_doubles_up_to_its_limit():
    """1, 2, 4 seconds, and no more than the setting says."""
    outage = Outage(SETTINGS, 100.0, upper)
    assert [outage.delay(100.0) for _ in range(4)] == [1, 2, 4, 4]


def test_the_jitter_is_full():
    """A wait may be none at all, so that clients spread over the whole time."""
    assert Outage(SETTINGS, 100.0, lower).delay(100.0) == 0


def test_what_the_server_asks_for_is_waited_for_in_full():
    """Its six seconds, and the jitter behind them."""
    outage = Outage(SETTINGS, 100.0, upper)
    assert outage.delay(100.0, retry_after=6) == 7


def test_the_time_is_up_before_a_wait_that_would_pass_it():
    """The last try is made within the time, or not at all."""
    outage = Outage(SETTINGS, 100.0, upper)
    assert outage.delay(118.0) == 1
    assert outage.delay(118.0) is None


def test_no_time_means_no_try():
    """0 turns it off."""
    assert Outage(Settings("k", reconnect_timeout_s=0), 1.0).delay(1.0) is None


def test_a_thousand_tries_overflow_nothing():
    """An outage may be long and its waits short."""
    outage = Outage(SETTINGS, 0.0, upper)
    assert {outage.delay(0.0) for _ in range(2000)} == {1, 2, 4}
