"""Rolling restarts under load, in short: two servers on one Redis, each ended by SIGTERM while clients are at work.

The long form, with its figures: `python -m loadtests.drain`.
"""

import pytest

from loadtests.drain.rolling import REPLICAS, roll

CLIENTS = 3
ROUNDS = 1
DRAIN_MAX_S = 20.0
"""Of one server, on a machine that does much else; its limit for evals is as long, and none here comes near it."""


@pytest.mark.parametrize(
    "runtime",
    [
        pytest.param("bubblewrap", marks=[pytest.mark.bubblewrap, pytest.mark.redis]),
        pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.redis]),
    ],
)
@pytest.mark.timeout(300)
async def test_a_rolling_restart_costs_nobody_an_eval(runtime: str) -> None:
    """Nothing acknowledged is lost or done twice, no eval is cut short, each server ends in order and in time."""
    report = await roll(runtime, clients=CLIENTS, rounds=ROUNDS, tell=lambda line: None)
    assert report.passed, report.as_text()
    assert len(report.statuses) == ROUNDS * REPLICAS
    assert len(report.outages_s) >= CLIENTS
    assert max(report.drains_s) < DRAIN_MAX_S
