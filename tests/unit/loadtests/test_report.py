"""The table and the JSON."""

import json

from loadtests.figures import Figure
from loadtests.goals import BASCULE_DOCKER, BRIDGE, rows
from loadtests.report import as_json, ending, table

RESULTS = {
    "round_trip.none.p50": {BRIDGE: Figure((0.1, 0.2, 0.1)), BASCULE_DOCKER: Figure((0.2, 0.5, 0.3))},
    "throughput.none": {BASCULE_DOCKER: Figure((12345.6,))},
}


def test_a_block_a_measure_and_a_line_a_contestant():
    """Median, spread, ratio, verdict; the goal beside the title; notes below their measure."""
    lines = table(rows(RESULTS), {"round_trip.none.p50": "a note"}).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "eval round trip, durability none: p50 (ms) goal <= 0.25 ms or <= 2.1 x",
        "websockets bridge 0.100 [0.100 - 0.200]",
        "bascule docker 0.300 [0.200 - 0.500] 2.50 x websockets bridge missed",
        "(a note)",
        "",
        "evals/s, many sessions, durability none (1/s) goal >= 10000 1/s or >= 0.35 x",
        "bascule docker 12,346 [12,346 - 12,346] met",
    ]


def test_figures_stand_below_each_other():
    """Whatever the contestant's name."""
    bridge, ours = table(rows(RESULTS), {}).splitlines()[1:3]
    assert bridge.index("[") == ours.index("[")


def test_the_json_has_each_round():
    """And what the table shows."""
    data = json.loads(as_json(rows(RESULTS), {"a": "b"}, {"cpus": 2}))
    bridge, ours = data["rows"][:2]
    assert data["machine"] == {"cpus": 2} and data["notes"] == {"a": "b"}
    assert bridge["ratio"] is None and bridge["ratio_to"] is None
    assert ours["rounds"] == [0.2, 0.5, 0.3]
    assert (ours["median"], ours["low"], ours["high"]) == (0.3, 0.2, 0.5)
    assert (ours["ratio"], ours["ratio_to"], ours["verdict"]) == (2.5, BRIDGE, "missed")


def test_what_was_left_out_is_said():
    """With the reason; goals are counted."""
    words = ending(rows(RESULTS), {"docker exec": "no engine"}, {"cpus": 2})
    assert "left out: docker exec: no engine" in words
    assert "goals met: 1, missed: 1" in words
    assert "cpus 2" in words
