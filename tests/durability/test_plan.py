"""Plans for marked points: what they say, what is refused, and that a server without one passes its points by."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from durability.plan import PlanError, Step, draw_plan, marker, read_plan
from orchestrator import faults


def test_a_plan_says_what_is_done_at_which_passing():
    """Parts are told apart by commas."""
    plan = read_plan("before-commit=kill#3, after-raise=stop#1,after-commit=sleep:200#2")

    assert plan == {
        ("before-commit", 3): Step("kill", 0),
        ("after-raise", 1): Step("stop", 0),
        ("after-commit", 2): Step("sleep", 200),
    }
    assert read_plan("") == {}


@pytest.mark.parametrize(
    "text", ["before-lunch=kill#1", "before-commit=kill", "before-commit=kill#0", "after-commit=sleep#1",
             "after-commit=kill:9#1", "after-commit"],
)  # fmt: skip
def test_what_is_no_plan_is_refused(text: str):
    """A plan that does nothing would be a campaign that proves nothing."""
    with pytest.raises(PlanError, match="points are"):
        read_plan(text)


def test_the_same_seed_draws_the_same_plan():
    """And each is a plan."""
    drawn = [draw_plan(Random(seed), "kill") for seed in range(50)]

    assert drawn == [draw_plan(Random(seed), "kill") for seed in range(50)]
    assert {point for text in drawn for point, _ in read_plan(text)} == set(faults.POINTS)


def test_a_process_ends_at_the_planned_passing_and_not_before():
    """It is `kill -9`: nothing is cleaned up and nothing more is said."""
    code = (
        "from durability.plan import marker\nfrom orchestrator import faults\n"
        "faults.install(marker('before-commit=kill#2'))\n"
        "for n in range(3): faults.mark('after-commit'); faults.mark('before-commit'); print(n, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=_environment())

    assert (done.returncode, done.stdout) == (-9, "0\n")


def test_a_server_does_nothing_at_its_points():
    """No hook is installed, and its settings and environment know of none."""
    code = (
        "import orchestrator.app\nfrom orchestrator import faults\n"
        "for point in faults.POINTS: faults.mark(point)\nprint(faults.mark.__name__)"
    )
    environment = {**_environment(), "BASCULE_FAULTS": "before-commit=kill#1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)

    assert (done.returncode, done.stdout) == (0, "_nothing\n"), done.stderr


def test_a_sleep_goes_on_afterwards():
    """The third action."""
    mark = marker("after-commit=sleep:1#1")
    mark("after-commit")
    mark("after-commit")


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}
