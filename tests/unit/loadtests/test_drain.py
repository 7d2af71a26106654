"""The books of a drain's clients, and who is sent where."""

from pathlib import Path

import pytest

from loadtests.drain.balancer import Balancer
from loadtests.drain.drivers import Driver
from loadtests.drain.replicas import Replica
from loadtests.drain.rolling import Report


def driver(held: list[int], counter: int | None = None) -> Driver:
    """A client that submitted 0 to 4, was told 0 to 2, and finds this in its session."""
    made = Driver(seed=1, submitted=5, acknowledged=[0, 1, 2])
    made.compare(held, len(held) if counter is None else counter)
    return made


@pytest.mark.parametrize("held", [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 4]])
def test_what_was_acknowledged_is_there_and_more_may_be(held):
    """An eval whose result was not heard may have happened."""
    found = driver(held)
    assert (found.lost, found.doubled, found.phantoms) == (0, 0, 0)
    assert Report([found], [0]).passed


@pytest.mark.parametrize(
    ("held", "counter", "wrong"),
    [
        ([0, 2], None, "lost"),
        ([1, 0, 2], None, "lost"),
        ([0, 1, 2, 2], None, "doubled"),
        ([0, 1, 2], 4, "doubled"),
        ([0, 1, 2, 7], None, "phantoms"),
    ],
)
def test_what_is_wrong_is_counted(held, counter, wrong):
    """A loss, another order, an eval done twice, one that nobody asked for."""
    found = driver(held, counter)
    assert getattr(found, wrong) > 0
    report = Report([found], [0])
    assert not report.passed and f"1 {wrong}" in report.as_text()


def test_an_eval_cut_short_or_a_server_that_ends_badly_is_a_failure():
    """Also when nothing was lost."""
    assert not Report([Driver(1, acknowledged=[1], broken=["worker_died: gone"])], [0]).passed
    assert not Report([Driver(1, acknowledged=[1])], [0, 1]).passed
    assert not Report([Driver(1)], [0]).passed


def test_connections_go_to_those_in_service_in_turn(tmp_path: Path):
    """To nobody when there is none."""
    one, two = (Replica(tmp_path / name, ["never-started"], {}) for name in ("one", "two"))
    one.in_service = two.in_service = True
    balancer = Balancer([one, two])
    assert {id(balancer.next()), id(balancer.next())} == {id(one), id(two)}
    two.in_service = False
    assert [balancer.next(), balancer.next()] == [one, one]
    one.in_service = False
    assert balancer.next() is None
